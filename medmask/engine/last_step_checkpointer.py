"""A run that ends before its last iteration saves what it has done."""

import logging
import sys

from detectron2.engine import HookBase

from medmask.checkpoint import MedMaskCheckpointer
from medmask.utils.counts import counted
from medmask.utils.failures import describe_failure
from medmask.utils.shared_failure import is_shared
from medmask.utils.signals import StoppedBySignal

logger = logging.getLogger(__name__)


class LastStepCheckpointer(HookBase):
    """Saves the last complete step when training ends on a signal or an error.

    Register it after the hooks whose state is part of a checkpoint and before those that write
    files: what comes after it may fail, and the step is complete all the same. A run that is
    resumed from what it saves computes, bit for bit, what it would have computed without the stop.

    Nothing is saved if the error came in the middle of an update, if one of several processes
    failed alone (the others cannot save without it), or if there is a checkpoint of the step.
    """

    def __init__(self, checkpointer: MedMaskCheckpointer) -> None:
        """Create the hook."""
        self.checkpointer = checkpointer

    def after_step(self) -> None:
        self.trainer.num_complete = self.trainer.iter + 1

    def after_train(self) -> None:
        trainer, failure = self.trainer, sys.exc_info()[1]
        if failure is None or not trainer.num_complete or not is_shared(failure):
            return
        last = trainer.num_complete - 1
        if trainer.num_complete == trainer.start_iter or self.checkpointer.saved_iteration == last:
            return
        trainer.iter = last
        try:
            self.checkpointer.save(f"model_{last:07}", iteration=last)
        except Exception as error:
            if isinstance(failure, StoppedBySignal):
                raise  # the user must know that stopping lost something
            reason = describe_failure(error)
            logger.error(
                f"The {counted(trainer.num_complete, 'complete iteration')} could not be saved: "
                + (reason.sentence.removeprefix("error: ") if reason else repr(error))
            )
            return
        logger.warning(
            f"Saved the {trainer.num_complete} of {counted(trainer.max_iter, 'iteration')} that "
            "are complete; --resume goes on from there."
        )
