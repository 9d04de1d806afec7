"""Schedules of the mask ratio r, the share of tokens that masked autoencoding hides.

A schedule is asked for the ratio in every iteration, and hears of the loss after every epoch.
Progress is the share of the run that is done, in [0, 1].
"""

import math
from collections.abc import Sequence
from typing import Any

from medmask.errors import InputError

LEAST_RATIO, GREATEST_RATIO = 0.1, 0.95
"""Where a loss-driven ratio stays: below there is little to rebuild, above little to go by."""
MEMORY = 3
"""Epochs whose mean loss an epoch's loss is compared with."""


class MaskRatioSchedule:
    """What all schedules have in common."""

    def ratio(self, progress: float) -> float:
        """The ratio, in [0, 1]."""
        raise NotImplementedError

    def end_epoch(self, loss: float, progress: float) -> None:
        """Take note of an epoch.

        Args:
            loss: its mean, the same in every process.
            progress: after it.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""


class ConstantMaskRatio(MaskRatioSchedule):
    """What the run starts with, all the time."""

    def __init__(self, start: float) -> None:
        _check("start", start)
        self.start = start

    def ratio(self, progress: float) -> float:
        return self.start


class CosineMaskRatio(MaskRatioSchedule):
    """From one ratio to another along half a cosine wave, over the whole run."""

    def __init__(self, start: float, end: float) -> None:
        _check("start", start)
        _check("end", end)
        self.start = start
        self.end = end

    def ratio(self, progress: float) -> float:
        return self.end + (self.start - self.end) * _half_cosine(progress)


class LossDrivenMaskRatio(MaskRatioSchedule):
    """Harder when reconstruction gets better, easier when it does not.

    At the end of an epoch r rises by a step if the epoch's loss is below the mean loss of the three
    epochs before (of fewer, while there are fewer), and falls by it otherwise; after the first
    epoch there is nothing to compare with. The step shrinks to zero along half a cosine wave over
    the run, and r stays in [0.1, 0.95].
    """

    def __init__(self, start: float, step: float) -> None:
        """Create the schedule.

        Args:
            start: r of the first epoch.
            step: by how much r would change at the very beginning of the run.

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
        self._ratio = start
        self._losses: Sequence[float] = []

    def ratio(self, progress: float) -> float:
        return self._ratio

    def end_epoch(self, loss: float, progress: float) -> None:
        if self._losses:
            step = self.step * _half_cosine(progress)
            is_better = loss < sum(self._losses) / len(self._losses)
            changed = self._ratio + (step if is_better else -step)
            self._ratio = min(max(changed, LEAST_RATIO), GREATEST_RATIO)
        self._losses = [*self._losses, loss][-MEMORY:]

    def state_dict(self) -> dict[str, Any]:
        return {"ratio": self._ratio, "losses": list(self._losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._ratio = state_dict["ratio"]
        self._losses = list(state_dict["losses"])


def _half_cosine(progress: float) -> float:
    """From 1 at the beginning to 0 at the end."""
    return (1 + math.cos(math.pi * progress)) / 2


def _check(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise InputError(
            f"mask_ratio.{name} is {value}, but a share of what is hidden lies between 0 and 1"
        )
