"""Checkpoints every so many iterations, and one of the last iteration in any case."""

from pathlib import Path

from detectron2.engine import hooks

from medmask.checkpoint import MedMaskCheckpointer

FINAL = "model_final"


class PeriodicCheckpointer(hooks.PeriodicCheckpointer):
    """Detectron2's, for runs that are resumed: old checkpoints of all starts give way to new ones.

    A run that finds all its iterations done, because it died before it wrote ``model_final.pth`` or
    because it has become shorter, writes that file before anything else.
    """

    checkpointer: MedMaskCheckpointer

    def __init__(
        self, checkpointer: MedMaskCheckpointer, period: int, max_to_keep: int | None
    ) -> None:
        """Create the hook.

        Args:
            checkpointer: writes the files.
            period: iterations from one checkpoint to the next.
            max_to_keep: checkpoints that are kept besides the best and the last one; None keeps
                all.
        """
        super().__init__(checkpointer, period, max_to_keep=max_to_keep)
        # Those of the run that is resumed count, too.
        written = Path(checkpointer.save_dir).glob("model_[0-9]*.pth")
        self.recent_checkpoints = [str(path) for path in sorted(written)]

    def before_train(self) -> None:
        super().before_train()
        trainer = self.trainer
        done, resumed_from = trainer.start_iter, self.checkpointer.resumed_from
        if done < trainer.max_iter or resumed_from in (None, f"{FINAL}.pth"):
            return
        trainer.iter = done - 1  # as at the end of its last step
        self.save(FINAL, iteration=done - 1)
        trainer.iter = done
