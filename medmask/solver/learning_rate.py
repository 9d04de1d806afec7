"""Schedules of the learning rate."""

import bisect
import itertools
import math
from collections.abc import Sequence

from fvcore.common.param_scheduler import ParamScheduler

from medmask.errors import InputError
from medmask.utils.counts import counted

_POINTS_CHECKED = 1000


def bound_to_run(schedule: ParamScheduler, max_iter: int) -> ParamScheduler:
    """A schedule that is asked for the iterations of a run alone.

    Detectron2 asks for the rate after the last iteration, too, when all is done but not yet saved,
    and fvcore's constant and stepped schedules then raise. What it gives are plain numbers, as the
    rate goes into checkpoints, which hold none of numpy's.

    Args:
        schedule: multiplier of the learning rate over the share of the run that is done.
        max_iter: iterations of the run.

    Raises:
        InputError: the schedule fails somewhere in the run, or gives what is no multiplier.
    """
    for i in range(0, max_iter, max(1, max_iter // _POINTS_CHECKED)):
        try:
            value = float(schedule(i / max_iter))
        except Exception as error:  # of any schedule's own
            raise InputError(
                f"lr_multiplier cannot be computed at iteration {i} of {max_iter}: {error}"
            ) from error
        if not 0 <= value < math.inf:
            raise InputError(
                f"lr_multiplier is {value} at iteration {i} of {max_iter}, but a multiplier of the "
                "learning rate is a finite number of at least 0"
            )
    return _BoundToRun(schedule, (max_iter - 1) / max_iter)


class _BoundToRun(ParamScheduler):
    def __init__(self, schedule: ParamScheduler, end: float) -> None:
        self.schedule = schedule
        self.end = end

    def __call__(self, where: float) -> float:
        return float(self.schedule(min(where, self.end)))


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
                f"lr_multiplier.values has {counted(len(values), 'number')}, but with "
                f"{counted(len(milestones), 'milestone')} it needs {len(milestones) + 1}"
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
