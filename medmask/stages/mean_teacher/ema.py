"""A model whose weights are the exponential moving average of another's."""

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import nn

from medmask.modeling import MedMask
from medmask.modeling.weights import without_training_modules

Model = TypeVar("Model", bound=nn.Module)


def make_average(model: Model) -> Model:
    """A copy to average into: same architecture, evaluation mode, no gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def make_detector_average(detector: MedMask) -> MedMask:
    """A copy to average into, without what only training uses: it loads wherever detectors do."""
    average = make_average(detector)
    average.training_modules.clear()
    return average


def restart_average(average: MedMask, detector: MedMask) -> None:
    """Begin with the weights of a detector that has got them since the average was made."""
    average.load_state_dict(without_training_modules(detector.state_dict()))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average by one step: a <- decay * a + (1 - decay) * m.

    Parameters and floating-point buffers, BatchNorm statistics among them, are averaged; other
    buffers, such as counters, are copied.

    Args:
        average: what :func:`make_average` gave for a model of this architecture; it may lack parts
            of the model.
        model: m.
        decay: in [0, 1).
    """
    values = dict(_named_tensors(model))
    for name, mean in _named_tensors(average):
        value = values[name]
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
