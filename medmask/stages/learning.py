"""Measures of what a stage has learned, on held-out images against an answer that ignores them.

A loss that falls shows little: it falls as well for a stage that learns the mean. So each stage has
a measure with a constant, which is what the best answer that is the same for all images gets.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from medmask.modeling import MedMask

Sample = dict[str, Any]
"""A held-out image as the test mapper gives it, with its boxes in ``instances``, the
dataset dict's ``annotations``, and a ``random_seed`` of its own"""


@dataclass(frozen=True)
class LearningMeasure:
    """A measure of what a stage has learned; higher is better."""

    value: float
    """NaN where there was nothing to measure it by"""
    constant: float
    """what an answer that ignores the image gets"""
    margin: float = 0.0
    """by which the value must be above the constant, at least 0: two standard errors of chance"""

    @property
    def beats_constant(self) -> bool:
        """True if the value is above the constant by more than the margin; never for NaN."""
        return self.value > self.constant + self.margin


@contextlib.contextmanager
def observing(detector: MedMask) -> Iterator[None]:
    """Switch to evaluation without gradients; random generators are restored on leaving."""
    was_training = detector.training
    devices = [detector.device] if detector.device.type == "cuda" else []
    detector.eval()
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            yield
    finally:
        detector.train(was_training)


def chance_margin(chance: float, count: int) -> float:
    """Two standard errors of a share of ``count`` independent answers that are right by chance."""
    return float(2 * (chance * (1 - chance) / max(count, 1)) ** 0.5)
