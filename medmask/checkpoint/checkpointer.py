"""Detectron2's checkpointer, made safe: atomic writes, no code run from files, exact resume.

Three ways to load, by what must be in the file:

* :meth:`~MedMaskCheckpointer.load_for_inference`: all that inference depends on, nothing else;
* :meth:`~MedMaskCheckpointer.load_start_weights`: what a training stage starts from, which may lack
  what the stage adds;
* :meth:`~MedMaskCheckpointer.resume`: everything, the optimizer and the trainer included.
"""

from pathlib import Path
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from torch import Tensor

from medmask.checkpoint.published_file import SAFETENSORS, read_published_file
from medmask.checkpoint.restricted_pickle import load_array_pickle
from medmask.checkpoint.resume_file import LAST, find_whole_checkpoint, has_checkpoint
from medmask.checkpoint.start_weights import BACKBONE, choose_start_weights
from medmask.checkpoint.state_dict import find_state_dict
from medmask.checkpoint.tensor_file import load_tensor_file
from medmask.checkpoint.timm_weights import (
    find_timm_part,
    is_timm_address,
    read_timm_address,
    with_model_names,
)
from medmask.checkpoint.training_state import check_training_state, restore
from medmask.checkpoint.writing import refuse_non_finite, write_torch_file
from medmask.errors import InputError
from medmask.modeling.weights import (
    check_inference_weights,
    check_weights,
    name_first,
    without_training_modules,
)
from medmask.utils.files import atomic_write
from medmask.utils.random_state import get_random_state, set_random_state
from medmask.utils.shared_failure import raise_together


class MedMaskCheckpointer(DetectionCheckpointer):
    """Saves and restores a training run, the random generators of every process included.

    Files are compared with their checksums and read by ``torch.load(weights_only=True)``;
    Detectron2's model-zoo pickles of backbones, which have no checksums, by an unpickler that knows
    nothing but arrays. So a downloaded checkpoint cannot run code. A model is filled after all
    checks or not at all.
    """

    saved_iteration: int | None = None
    """iteration of the last checkpoint that was written or resumed from"""
    resumed_from: str | None = None
    """name of the file that the run was resumed from"""

    def save(self, name: str, **extra: Any) -> None:
        """Write ``{save_dir}/{name}.pth``. Every process must call this; the main one writes.

        The file appears complete or not at all, whenever the process dies.

        Raises:
            InputError: a weight, or a moment of the optimizer, is NaN or infinite, or a state
                cannot be kept; nothing is written. All processes raise it.
            OSError: the file cannot be written (in other processes an InputError tells so).
        """
        content = {"model": self.model.state_dict()}
        is_writer = self.save_dir and self.save_to_disk
        failure: Exception | None = None
        if is_writer:
            try:
                content |= {key: x.state_dict() for key, x in self.checkpointables.items()}
            except InputError as error:
                failure = error
        raise_together(failure)
        refuse_non_finite(content, name)
        random_states = comm.gather(get_random_state())
        if is_writer:
            content |= extra
            content["random_states"] = random_states
            path = Path(self.save_dir) / f"{name}.pth"
            self.logger.info(f"Saving checkpoint to {path}")
            try:
                write_torch_file(content, path)
                self.tag_last_checkpoint(path.name)
            except OSError as error:
                failure = error
        raise_together(failure)
        self.saved_iteration = extra.get("iteration")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Remember which file ``--resume`` continues from."""
        with atomic_write(Path(self.save_dir) / LAST, "w") as file:
            file.write(last_filename_basename)

    def has_checkpoint(self) -> bool:
        """Tell whether there is a checkpoint to resume from; see :func:`has_checkpoint`."""
        return has_checkpoint(self.save_dir)

    def load_for_inference(self, path: str) -> None:
        """Fill the model with weights that it can detect with.

        Parameters of ``training_modules``, which inference does not use, may be in the file or not;
        they are passed over.

        Args:
            path: a file of :meth:`save`, of :func:`medmask.checkpoint.save_weights` or of
                medmask convert-checkpoint.

        Raises:
            InputError: the file cannot be read, or a parameter or a buffer of the detector is
                missing, of another shape, not finite or of no floating-point type, or unknown.
        """
        if not path:
            raise InputError("no checkpoint is named: give the file of the weights to detect with")
        weights = find_state_dict(self._read(path), path)
        check_inference_weights(self.model, weights, f"checkpoint {path}")
        self.model.load_state_dict(without_training_modules(weights), strict=False)
        self.logger.info(f"Detecting with the weights of {path}")

    def load_start_weights(self, path: str, *, fresh_class_heads: bool = False) -> None:
        """Fill the model with what a training run starts from, and log what starts anew.

        Args:
            path: a file as for :meth:`load_for_inference`; a Detectron2 model-zoo pickle of a
                backbone (``detectron2://...``); weights of a network of timm, see
                :mod:`medmask.checkpoint.timm_weights`; or nothing, to start from scratch.
            fresh_class_heads: start the class heads anew where the file has none or others.

        Raises:
            InputError: the file cannot be read, or lacks more than what the stage adds; see
                :func:`medmask.checkpoint.start_weights.choose_start_weights`.
        """
        if not path:
            self.logger.info("train.init_checkpoint names no weights: all start anew")
            return
        weights, only_part = self._read_start_weights(str(path))
        chosen = choose_start_weights(
            weights,
            self.model.state_dict(),
            f"checkpoint {path}",
            only_part=only_part,
            fresh_class_heads=fresh_class_heads,
        )
        self.model.load_state_dict(chosen.weights, strict=False)
        self.logger.info(f"Starting from the weights of {path}: {chosen.report}")

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Restore a training run: the whole model, and the checkpointables.

        Args:
            path: a file of :meth:`save`.
            checkpointables: the names of those to restore; None for all.

        Returns:
            The rest of what the file holds.

        Raises:
            InputError: the file is missing, damaged, no checkpoint, or lacks a part.
        """
        content = self._read(path)
        weights = find_state_dict(content, path)
        source = f"checkpoint {path}"
        check_weights(weights, self.model.state_dict(), source)
        names = self.checkpointables if checkpointables is None else checkpointables
        states = {name: self.checkpointables[name] for name in names}
        check_training_state(content, states, source)
        self.model.load_state_dict(weights)
        for name, checkpointable in states.items():
            restore(checkpointable, content[name], f"{source} (entry '{name}')")
        return {k: x for k, x in content.items() if k != "model" and k not in states}

    def resume(self) -> bool:
        """Continue from the last checkpoint of ``save_dir``: model, checkpointables, generators.

        Where its file is missing or damaged, or nothing names it, the newest one that is whole
        takes its place, with a warning.

        Returns:
            False if there is no checkpoint yet.

        Raises:
            InputError: no checkpoint is whole, or it belongs to another model.
        """
        if not self.has_checkpoint():
            return False
        path, fault = find_whole_checkpoint(Path(self.save_dir), self.checkpointables)
        if fault is not None:
            self.logger.warning(f"{fault}; going on from {path} instead.")
        extra = self.load(path)
        self.saved_iteration = extra.get("iteration")
        self.resumed_from = Path(path).name
        states = extra.get("random_states")
        if not isinstance(states, list) or not states:
            raise InputError(
                f"checkpoint {path} has no states of random generators, so it is none that a run "
                "can be resumed from: start a new run from its weights (train.init_checkpoint)"
            )
        if len(states) != comm.get_world_size():
            self.logger.warning(
                f"The checkpoint was written by {len(states)} processes and is resumed by "
                f"{comm.get_world_size()}: dropout will draw other numbers than without the stop."
            )
            return True
        try:
            set_random_state(states[comm.get_rank()])
        except Exception as error:  # of any kind: the file may hold anything there
            raise InputError(
                f"checkpoint {path} holds no states of random generators in 'random_states' "
                f"({name_first([str(error)])}): resume from another one by its name in {LAST}"
            ) from None
        return True

    def _read_start_weights(self, path: str) -> tuple[dict[str, Tensor], str | None]:
        """Read weights, and tell the part that they are of, if they are not of a whole model.

        Pickles of the model zoo and safetensors have no checksums.
        """
        part = find_timm_part(self.model)
        if is_timm_address(path):
            weights = read_timm_address(path, part)
            assert part is not None  # or there would be no weights for it
            return weights, part.prefix
        file = self._fetch(path)
        if file.endswith(".pkl"):
            content = load_array_pickle(file)
            is_backbone = isinstance(content, dict) and content.get("matching_heuristics") is True
            return find_state_dict(content, path), BACKBONE if is_backbone else None
        if file.endswith(SAFETENSORS):
            weights = read_published_file(file)
        else:
            weights = find_state_dict(load_tensor_file(file), path)
        if part is None or any(name.startswith(BACKBONE) for name in weights):
            return weights, None
        return with_model_names(weights, part, path), part.prefix

    def _read(self, path: str) -> Any:
        """Read the content of a file, or of an address that Detectron2 knows."""
        return load_tensor_file(self._fetch(str(path)))

    def _fetch(self, path: str) -> str:
        """The local file of an address such as ``detectron2://...``; a file's path as it is."""
        if "://" not in path:
            return path
        try:
            return self.path_manager.get_local_path(path)
        except Exception as error:  # of any library on the way
            raise InputError(
                f"checkpoint {path} cannot be fetched ({name_first([str(error)])}): check the "
                "address and the connection, or copy the file here and name it"
            ) from None
