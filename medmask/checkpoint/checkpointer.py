"""Detectron2's checkpointer, made safe: atomic writes, no code run from files, exact resume."""

import os
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from torch import nn

from medmask.checkpoint.restricted_pickle import load_array_pickle
from medmask.checkpoint.tensor_file import load_tensor_file
from medmask.errors import InputError
from medmask.utils.files import atomic_write
from medmask.utils.random_state import get_random_state, set_random_state

LAST = "last_checkpoint"


class MedMaskCheckpointer(DetectionCheckpointer):
    """Saves and restores a training run, the random generators of every process included.

    Files are read by ``torch.load(weights_only=True)`` (Detectron2's model-zoo pickles by an
    unpickler that knows nothing but arrays), so a downloaded checkpoint cannot run code.
    """

    def save(self, name: str, **extra: Any) -> None:
        """Write ``{save_dir}/{name}.pth``. Every process must call this; the main one writes.

        The file appears complete or not at all, whenever the process dies.
        """
        random_states = comm.gather(get_random_state())
        if not self.save_dir or not self.save_to_disk:
            return
        content = {"model": self.model.state_dict()}
        content |= {key: x.state_dict() for key, x in self.checkpointables.items()}
        content |= extra
        content["random_states"] = random_states
        path = Path(self.save_dir) / f"{name}.pth"
        self.logger.info(f"Saving checkpoint to {path}")
        with atomic_write(path) as file:
            torch.save(content, file)
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Remember which file ``--resume`` continues from."""
        with atomic_write(Path(self.save_dir) / LAST, "w") as file:
            file.write(last_filename_basename)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Load the model and the checkpointables; see Detectron2.

        Raises:
            InputError: the file is missing, damaged, no checkpoint, or holds pickled code.
        """
        if path and "://" not in path and not os.path.isfile(path):
            raise InputError(f"checkpoint {path} does not exist: check train.init_checkpoint")
        try:
            return super().load(path, checkpointables)
        finally:
            self._parsed_url_during_load = None  # Detectron2 asserts this at the next load

    def resume(self) -> bool:
        """Continue from the last checkpoint of ``save_dir``: model, checkpointables, generators.

        Returns:
            False if there is no checkpoint yet.
        """
        if not self.has_checkpoint():
            return False
        path = self.get_checkpoint_file()
        if not os.path.isfile(path):
            raise InputError(
                f"{os.path.join(self.save_dir, LAST)} names {path}, which does not exist: write "
                "the name of another checkpoint of that folder into it, or start without --resume"
            )
        extra = self.load(path)
        states = extra.get("random_states", [])
        if len(states) != comm.get_world_size():
            self.logger.warning(
                f"The checkpoint was written by {len(states)} processes and is resumed by "
                f"{comm.get_world_size()}: dropout will draw other numbers than without the stop."
            )
        else:
            set_random_state(states[comm.get_rank()])
        return True

    def _load_file(self, filename: str) -> dict[str, Any]:
        if filename.endswith(".pkl"):
            content = load_array_pickle(filename)
        else:
            content = super()._load_file(filename)
        if not isinstance(content, dict) or "model" not in content:
            raise InputError(f"checkpoint {filename} has no entry 'model'")
        return content

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        incompatible = super()._load_model(checkpoint)
        if len(incompatible.missing_keys) == len(self.model.state_dict()):
            raise InputError(
                "the checkpoint has no parameter of this model: convert a published one with "
                "tools/convert_checkpoint.py, or choose the config that it was trained with"
            )
        return incompatible

    def _torch_load(self, f: str) -> Any:
        return load_tensor_file(f)


def save_weights(model: nn.Module, path: str | os.PathLike) -> None:
    """Write a model's weights alone, from the main process; ``train.init_checkpoint`` takes them.

    The file appears complete or not at all.
    """
    if comm.is_main_process():
        with atomic_write(path) as file:
            torch.save({"model": model.state_dict()}, file)
