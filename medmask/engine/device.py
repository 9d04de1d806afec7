"""The device of a run."""

import re

import torch
from detectron2.utils import comm

from medmask.errors import InputError


def select_device(name: str, key: str = "train.device") -> str:
    """Choose the device that ``train.device`` means: ``"auto"`` is a GPU if there is one.

    Args:
        name: the value.
        key: the key or the option that it is of, for messages.

    Raises:
        InputError: there is no such device here, or it is not one for each of several processes.
    """
    match = re.fullmatch(r"(?:auto|cpu|cuda(?::(\d+))?)", name, flags=re.ASCII)
    if match is None:
        raise InputError(f"{key} is {name!r}, but must be auto, cpu, cuda or cuda:N")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    several = comm.get_world_size() > 1
    if name == "cpu" and several and torch.cuda.is_available():
        raise InputError(
            f"{key} is cpu, but each of several processes has a GPU of its own: set it to "
            "cuda, or hide the GPUs (CUDA_VISIBLE_DEVICES=)"
        )
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"{key} is {name}, but no GPU is usable here: set it to cpu")
    if match[1] is not None:
        if int(match[1]) >= torch.cuda.device_count():
            raise InputError(
                f"{key} is {name}, but the GPUs here are cuda:0 to "
                f"cuda:{torch.cuda.device_count() - 1}"
            )
        if several:
            raise InputError(
                f"{key} is {name}, but each of several processes has a GPU of its own: set "
                "it to cuda"
            )
    return name


def check_num_gpus(num_gpus: int, device: str, key: str = "train.device") -> None:
    """Check that a run without GPUs (``--num-gpus 0``) uses none.

    Args:
        num_gpus: as given.
        device: the one that was chosen.
        key: the key or the option that chooses it, for messages.

    Raises:
        InputError: it does.
    """
    if num_gpus == 0 and device != "cpu":
        raise InputError(f"--num-gpus is 0, but {key} chooses {device}: set {key} to cpu")
