"""Reading files of tensors without running code from them, with errors in sentences."""

import os
import re
from collections.abc import Sequence
from typing import Any

import torch

from medmask.errors import InputError


def load_tensor_file(path: str | os.PathLike, plain_classes: Sequence[type] = ()) -> Any:
    """``torch.load(weights_only=True)`` to the CPU.

    Args:
        path: a file that ``torch.save`` wrote.
        plain_classes: classes that the file may hold besides tensors, containers, strings and
            numbers; they must be harmless however they are filled.

    Raises:
        InputError: the file cannot be opened, is damaged, or refers to anything else.
    """
    try:
        with torch.serialization.safe_globals(list(plain_classes)):
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
        raise InputError(
            f"checkpoint {path} cannot be read as a file of tensors: it is damaged, cut off, or "
            "no checkpoint"
        ) from None
