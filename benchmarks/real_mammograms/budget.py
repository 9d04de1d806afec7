"""The budget of a training: so many minutes, or the config's steps."""

import logging
import time

from detectron2.engine import HookBase
from fvcore.common.param_scheduler import ParamScheduler

from medmask.utils.openmp import usable_cores
from real_mammograms.core_time import CoreTime

logger = logging.getLogger(__name__)

_LOG_PERIOD = 20
_LAST = 1 - 1e-6  # schedules are asked for shares of the run below 1


class BudgetSpentError(Exception):
    """The minutes are over: it ends the training loop before its last step."""


class Budget(HookBase):
    """Moves the learning rate along its schedule by the time that is spent, and ends the training.

    Minutes are those of :class:`CoreTime`, loading of images included. Two trainings whose steps
    take different times so get the same minutes, and both come to the end of their schedule.

    Attributes:
        seconds: of core time that were spent.
        elapsed_seconds: of wall-clock time.
        steps: that were taken.
    """

    def __init__(self, schedule: ParamScheduler, minutes: float | None) -> None:
        """Create the budget.

        Args:
            schedule: multiplier of the learning rate over the share of the run that is done.
            minutes: of training; None for the trainer's steps.
        """
        self.schedule = schedule
        self.minutes = minutes
        self.seconds = 0.0
        self.elapsed_seconds = 0.0
        self.steps = 0

    def before_train(self) -> None:
        self._start = time.monotonic()
        self._core_time = CoreTime(usable_cores())
        self._rates = [group["lr"] for group in self.trainer.optimizer.param_groups]
        self._set_rates()

    def after_step(self) -> None:
        self.steps += 1
        self.seconds = self._core_time.seconds()
        self.elapsed_seconds = time.monotonic() - self._start
        share = self._share_done()
        if self.steps % _LOG_PERIOD == 0:
            loss = self.trainer.storage.latest()["total_loss"][0]
            logger.info(f"step {self.steps}, {share:.0%} of the training, loss {loss:.4g}")
        if self.minutes is not None and share >= 1:
            raise BudgetSpentError
        self._set_rates()

    def _share_done(self) -> float:
        if self.minutes is not None:
            return self.seconds / (60 * self.minutes)
        return self.steps / self.trainer.max_iter

    def _set_rates(self) -> None:
        multiplier = self.schedule(min(self._share_done(), _LAST))
        for group, rate in zip(self.trainer.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * multiplier
