"""Optimizer parameter groups."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from medmask.errors import InputError

DEFAULT_LR_FACTORS = {"backbone": 0.1, "sampling_offsets": 0.1, "reference_points": 0.1}
"""Those of Deformable DETR; its two-stage variant has no ``reference_points``"""


def build_parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    lr_factors: Mapping[str, float | None] = DEFAULT_LR_FACTORS,
) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate.

    A factor is for a part of the model. Where the model itself has a part at that path
    (``backbone``, ``transformer.decoder``), it is that one and no other of the name:
    ``training_modules.discriminators.backbone`` learns at the full rate. Any other name
    (``sampling_offsets``) stands for all parts of that name, wherever they are. Names are whole:
    ``reference`` is not ``reference_points``.

    Args:
        model: its parameters are grouped.
        lr: the learning rate of parameters to which no factor applies.
        weight_decay: of all groups.
        lr_factors: part of the model -> factor on ``lr``; the first that fits counts. A factor of
            None is as if it were not there.

    Returns:
        One dict per distinct learning rate, as ``torch.optim`` optimizers take it.

    Raises:
        InputError: the model has no part that a factor is for, and it is none of the default ones.
    """
    factors = {part: factor for part, factor in lr_factors.items() if factor is not None}
    parts = {part: set(_parameters_of(model, part)) for part in factors}
    for part, names in parts.items():
        if not names and part not in DEFAULT_LR_FACTORS:
            raise InputError(
                f"optimizer.params.lr_factors.{part} is for no parameter of the model: check the "
                f"name, or set it to null (top-level parts are "
                f"{', '.join(name for name, _ in model.named_children())})"
            )
    groups = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = next((f for part, f in factors.items() if name in parts[part]), 1.0)
            groups[lr * factor].append(parameter)
    return [
        {"params": parameters, "lr": group_lr, "weight_decay": weight_decay}
        for group_lr, parameters in sorted(groups.items(), reverse=True)
    ]


def _parameters_of(model: nn.Module, part: str) -> Iterator[str]:
    """Names of the parameters of a part of the model."""
    names = [name for name, _ in model.named_parameters()]
    at_its_path = [name for name in names if f"{name}.".startswith(f"{part}.")]
    yield from at_its_path or (name for name in names if f".{part}." in f".{name}.")
