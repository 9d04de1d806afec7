"""Reading files of tensors without running code from them, with errors in sentences."""

import os
import re
import stat
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from medmask.checkpoint.archive import MAGIC, check_archive
from medmask.errors import InputError

_PICKLE = b"\x80\x02"
"""First bytes of files of torch before 1.6 and of ``_use_new_zipfile_serialization=False``."""


def load_tensor_file(
    path: str | os.PathLike, plain_classes: Sequence[type] = (), *, without_checksums: bool = False
) -> Any:
    """Load tensors to the CPU (``weights_only=True``), after checking the file's checksums.

    Args:
        path: a file that ``torch.save`` wrote.
        plain_classes: classes that the file may hold besides tensors, containers, strings and
            numbers; they must be harmless however they are filled.
        without_checksums: take files in the format of torch before 1.6 too, which has no checksums.

    Raises:
        InputError: the file cannot be opened, is damaged, or refers to anything else.
    """
    start = read_start(path)
    if start == MAGIC:
        check_archive(path)
    elif start[:2] != _PICKLE:
        raise _not_tensors(path)
    elif not without_checksums:
        raise InputError(
            f"checkpoint {path} is in the format of torch before 1.6, which has no checksums: "
            "convert a published file with medmask convert-checkpoint, or load it with torch and "
            "save it again"
        )
    try:
        with torch.serialization.safe_globals(list(plain_classes)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused later
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"checkpoint {path} cannot be opened: {error.strerror or error}") from None
    except Exception as error:  # bytes of any kind come in, so any error comes out
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise InputError(
                f"checkpoint {path} was not loaded: it holds {refused[1]}, and loading anything "
                "but tensors, containers, strings and numbers could run code; save its state_dict "
                "alone"
            ) from None
        raise _not_tensors(path) from None


def read_start(path: str | os.PathLike) -> bytes:
    """Read the first four bytes of a file.

    Raises:
        InputError: it is absent, cannot be read, or is a folder, a pipe or a device.
    """
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):  # to open a pipe would wait for its other end
            with open(path, "rb") as file:
                return file.read(4)
    except FileNotFoundError:
        raise InputError(
            f"checkpoint {path} does not exist and cannot be opened: correct the name"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"checkpoint {path} cannot be opened: {reason}") from None
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
    raise InputError(f"checkpoint {path} is {kind}: name a file of weights")


def _not_tensors(path: str | os.PathLike) -> InputError:
    return InputError(
        f"checkpoint {path} cannot be read as a file of tensors: it is damaged, cut off, or no "
        "checkpoint"
    )
