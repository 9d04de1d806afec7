"""Writing files of weights that are finite, complete or not at all."""

import os
from typing import Any

import torch
from detectron2.utils import comm
from torch import nn

from medmask.errors import InputError
from medmask.modeling.weights import name_first
from medmask.utils.files import atomic_write
from medmask.utils.finite import find_non_finite
from medmask.utils.shared_failure import raise_together


def refuse_non_finite(content: dict[str, Any], name: str) -> None:
    """Refuse to save what is not finite; every process must call this.

    Raises:
        InputError: a tensor in ``content`` holds NaN or infinite values, in any process.
    """
    for names in comm.all_gather(find_non_finite(content)):
        if names:
            raise InputError(
                f"{name} is not saved, because {len(names)} of its tensors hold NaN or infinite "
                f"values ({name_first(names)}): resume from the last checkpoint with a lower "
                "optimizer.lr, or switch train.amp.enabled off"
            )


def save_weights(model: nn.Module, path: str | os.PathLike) -> None:
    """Write a model's weights alone; ``train.init_checkpoint`` takes them.

    Every process must call this; the main one writes. The file appears complete or not at all.

    Raises:
        InputError: a weight is NaN or infinite; nothing is written. All processes raise it.
    """
    content = {"model": model.state_dict()}
    refuse_non_finite(content, str(path))
    failure = None
    if comm.is_main_process():
        try:
            write_torch_file(content, path)
        except OSError as error:
            failure = error
    raise_together(failure)


def write_torch_file(content: dict[str, Any], path: str | os.PathLike) -> None:
    """Write a file for ``torch.load``; it appears complete or not at all.

    Raises:
        OSError: the disk is full or the like.
    """
    try:
        with atomic_write(path) as file:
            torch.save(content, file)
    except RuntimeError as error:  # PyTorch's words on what went wrong when it wrote
        if isinstance(error.__context__, OSError):
            error.__context__.filename = os.fspath(path)
            raise error.__context__ from None
        raise
