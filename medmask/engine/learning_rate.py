"""Schedules of the learning rate."""

import bisect
import itertools
from collections.abc import Sequence

from fvcore.common.param_scheduler import ParamScheduler

from medmask.errors import InputError


class StepSchedule(ParamScheduler):
    """A multiplier that changes at given shares of the run and stays the same in between.

    A function of the progress alone: fvcore's ``MultiStepParamScheduler`` counts in whole updates
    instead, and takes milestones between 0 and 1 for none.
    """

    def __init__(self, values: Sequence[float], milestones: Sequence[float]) -> None:
        """Create the schedule.

        Args:
            values: the multipliers, one more than milestones.
            milestones: shares of the run, ascending, each in (0, 1); the value after a milestone
                holds from there on.

        Raises:
            InputError: the numbers make no sense.
        """
        if len(values) != len(milestones) + 1:
            raise InputError(
                f"lr_multiplier.values has {len(values)} numbers, but with {len(milestones)} "
                f"milestones it needs {len(milestones) + 1}"
            )
        bounds = [0, *milestones, 1]
        if any(not a < b for a, b in itertools.pairwise(bounds)):
            raise InputError(
                f"lr_multiplier.milestones is {list(milestones)}, but shares of the run ascend "
                "between 0 and 1"
            )
        if any(not value >= 0 for value in values):
            raise InputError(
                f"lr_multiplier.values is {list(values)}, but a multiplier of the learning rate "
                "is not negative"
            )
        self.values = list(values)
        self.milestones = list(milestones)

    def __call__(self, where: float) -> float:
        """The multiplier at ``where``, the share of the run that is done, in [0, 1]."""
        return self.values[bisect.bisect_right(self.milestones, where)]
