"""Checkpoints every so many iterations, and one of the last iteration in any case."""

from pathlib import Path
from typing import Any

from detectron2.engine import hooks
from detectron2.utils import comm

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
        super().__init__(checkpointer, period)
        self._num_kept = max_to_keep

    def step(self, iteration: int, **kwargs: Any) -> None:
        """Save, if it is time, and remove what is too old then, of all starts of the run."""
        super().step(iteration, **kwargs)
        is_saved = (iteration + 1) % self.period == 0
        if is_saved and self._num_kept is not None and comm.is_main_process():
            folder = Path(self.checkpointer.save_dir)
            written = folder / f"model_{iteration:07d}.pth"
            others = sorted(set(folder.glob("model_[0-9]*.pth")) - {written})
            for path in others[: max(0, len(others) - self._num_kept + 1)]:
                path.unlink(missing_ok=True)

    def before_train(self) -> None:
        super().before_train()
        trainer = self.trainer
        done, resumed_from = trainer.start_iter, self.checkpointer.resumed_from
        if done < trainer.max_iter or resumed_from in (None, f"{FINAL}.pth"):
            return
        trainer.iter = done - 1  # as at the end of its last step
        self.save(FINAL, iteration=done - 1)
        trainer.iter = done
