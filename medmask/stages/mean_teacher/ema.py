"""A model whose weights are the exponential moving average of another's."""

import copy

import torch
from torch import nn


def make_average(model: nn.Module) -> nn.Module:
    """A copy to average into: same architecture, evaluation mode, no gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average by one step: a <- decay * a + (1 - decay) * m.

    Parameters and floating-point buffers, BatchNorm statistics among them, are averaged; other
    buffers, such as counters, are copied.

    Args:
        average: what :func:`make_average` gave for a model of this architecture.
        model: m.
        decay: in [0, 1).
    """
    for mean, value in zip(_tensors(average), _tensors(model), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]
