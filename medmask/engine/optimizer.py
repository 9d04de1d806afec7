"""Optimizer parameter groups."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import nn

DEFAULT_LR_FACTORS = {"backbone": 0.1, "sampling_offsets": 0.1, "reference_points": 0.1}


def build_parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    lr_factors: Mapping[str, float] = DEFAULT_LR_FACTORS,
) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate.

    Args:
        model: whose parameters are grouped.
        lr: the learning rate of what no factor applies to.
        weight_decay: of all groups.
        lr_factors: part of a parameter's name -> factor on ``lr``; the first that fits counts.

    Returns:
        One dict per distinct learning rate, as ``torch.optim`` optimizers take it.
    """
    groups = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = next((f for part, f in lr_factors.items() if part in name), 1.0)
            groups[lr * factor].append(parameter)
    return [
        {"params": parameters, "lr": group_lr, "weight_decay": weight_decay}
        for group_lr, parameters in sorted(groups.items(), reverse=True)
    ]
