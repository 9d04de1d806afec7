"""Schedules of the mask ratio r, the share of tokens that masked autoencoding masks.

A schedule is asked for the ratio in every iteration, and hears of the loss of every batch. Progress
is the share of the run that is done, in [0, 1].
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medmask.errors import InputError
from medmask.utils.counts import counted
from medmask.utils.distributed import average_over_processes
from medmask.utils.periods import Period, to_iterations

LEAST_RATIO, GREATEST_RATIO = 0.1, 0.95
"""Bounds of a loss-driven ratio: below there is little to rebuild, above little to go by."""
MEMORY = 3
"""periods whose mean loss a period's loss is compared with"""


class MaskRatioSchedule:
    """Common interface of the schedules."""

    def ratio(self, progress: float) -> float:
        """Return the ratio, in [0, 1].

        Args:
            progress: share of the run that is done, in [0, 1].
        """
        raise NotImplementedError

    def set_run_length(self, max_iter: int, active: int) -> None:
        """Turn periods, which may be shares of the run, into iterations.

        Args:
            max_iter: iterations of the whole run.
            active: how many of them have masked autoencoding.

        Raises:
            InputError: the ratio would never change, though it should.
        """

    def add_loss(self, loss: Tensor) -> None:
        """Take note of the loss of a batch, a scalar without weight and gradient."""

    def end_iteration(self, iterations: int) -> None:
        """Change the ratio, if it is time to, after so many ``iterations`` of the run."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` gave."""


class ConstantMaskRatio(MaskRatioSchedule):
    """One ratio all the time."""

    def __init__(self, start: float) -> None:
        _check("start", start)
        self.start = start

    def ratio(self, progress: float) -> float:
        return self.start


class CosineMaskRatio(MaskRatioSchedule):
    """A ratio that moves from one value to another along half a cosine wave, over the whole run."""

    def __init__(self, start: float, end: float) -> None:
        _check("start", start)
        _check("end", end)
        self.start = start
        self.end = end

    def ratio(self, progress: float) -> float:
        return self.end + (self.start - self.end) * _half_cosine(progress)


class LossDrivenMaskRatio(MaskRatioSchedule):
    """A ratio that rises when reconstruction gets better, and falls when it does not.

    At the end of a period r rises by a step if the period's mean loss is below that of the three
    periods before (of fewer, while there are fewer), and falls by it otherwise; after the first
    period there is nothing to compare with. The step shrinks to zero along half a cosine wave over
    the run, and r stays in [0.1, 0.95].
    """

    def __init__(self, start: float, step: float, period: Period = 0.05) -> None:
        """Create the schedule.

        Args:
            start: r of the first period.
            step: by how much r would change at the very beginning of the run.
            period: from one change to the next, in iterations or as a share of the run.

        Raises:
            InputError: ``start`` is out of bounds, or ``step`` is not positive.
        """
        if not LEAST_RATIO <= start <= GREATEST_RATIO:
            raise InputError(
                f"mask_ratio.start is {start}, but a loss-driven ratio lies in "
                f"[{LEAST_RATIO}, {GREATEST_RATIO}]"
            )
        if not step > 0:
            raise InputError(f"mask_ratio.step is {step}, but must be positive")
        self.step = step
        self.period = period
        self._ratio = start
        self._losses: Sequence[float] = []
        self._loss_sum: float | Tensor = 0.0
        self._batches = 0
        self._own_losses: list[Tensor] = []

    def ratio(self, progress: float) -> float:
        return self._ratio

    def set_run_length(self, max_iter: int, active: int) -> None:
        key = "loss_hooks.masked_autoencoder.mask_ratio.period"
        self._max_iter = max_iter
        self._iterations = to_iterations(self.period, max_iter, key)
        if not 2 * self._iterations < active:
            raise InputError(
                f"{key} is {counted(self._iterations, 'iteration')}, and the ratio changes after "
                f"two periods at the earliest, but there are {active} iterations with masked "
                "autoencoding: shorten it"
            )

    def add_loss(self, loss: Tensor) -> None:
        self._own_losses.append(loss)

    def end_iteration(self, iterations: int) -> None:
        # each time, so that a checkpoint amid a period has the losses of all processes
        self._loss_sum = self._loss_sum + average_over_processes(
            torch.stack(self._own_losses).sum()
        )
        self._batches += len(self._own_losses)
        self._own_losses = []
        if iterations % self._iterations:
            return
        loss = float(self._loss_sum) / self._batches
        self._loss_sum, self._batches = 0.0, 0
        if self._losses:
            step = self.step * _half_cosine(iterations / self._max_iter)
            is_better = loss < sum(self._losses) / len(self._losses)
            changed = self._ratio + (step if is_better else -step)
            self._ratio = min(max(changed, LEAST_RATIO), GREATEST_RATIO)
        self._losses = [*self._losses, loss][-MEMORY:]

    def state_dict(self) -> dict[str, Any]:
        return {
            "ratio": self._ratio,
            "losses": list(self._losses),
            "loss_sum": float(self._loss_sum),
            "batches": self._batches,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._ratio = state_dict["ratio"]
        self._losses = list(state_dict["losses"])
        self._loss_sum = state_dict["loss_sum"]
        self._batches = state_dict["batches"]


def _half_cosine(progress: float) -> float:
    """Half a cosine wave, from 1 at the beginning to 0 at the end."""
    return (1 + math.cos(math.pi * progress)) / 2


def _check(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise InputError(
            f"mask_ratio.{name} is {value}, but a share of masked tokens lies between 0 and 1"
        )
