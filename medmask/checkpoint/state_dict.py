"""Finding the weights in what a checkpoint file holds."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medmask.errors import InputError
from medmask.modeling.weights import name_first

ENTRIES = ("model", "state_dict")
_PREFIX = "module."


def find_state_dict(content: Any, path: str | os.PathLike) -> dict[str, Tensor]:
    """Find the weights of a file: its entry ``model`` or ``state_dict``, or all that it holds.

    Beside the entry may stand an optimizer, a schedule and the like. Names lose the prefix
    ``module.`` of DistributedDataParallel if all have it; numpy arrays become tensors.

    Args:
        content: of the file.
        path: of the file, for messages.

    Returns:
        Name -> tensor, at least one.

    Raises:
        InputError: the file holds no weights, or things of other kinds among them.
    """
    entry = next((name for name in ENTRIES if isinstance(content, dict) and name in content), None)
    weights = content if entry is None else content[entry]
    where = f"checkpoint {path}" + ("" if entry is None else f" (entry '{entry}')")
    advice = "save it as {'model': model.state_dict()}"
    if not isinstance(weights, Mapping):
        raise InputError(f"{where} is no state_dict but a {type(weights).__name__}: {advice}")
    if not weights:
        raise InputError(f"{where} has no parameters: {advice}")
    tensors = {name: _as_tensor(value) for name, value in weights.items()}
    strangers = [
        str(name)
        for name, value in tensors.items()
        if not isinstance(name, str) or not isinstance(value, Tensor)
    ]
    if strangers:
        raise InputError(
            f"{where} holds what is no named tensor ({name_first(strangers)}): {advice}"
        )
    return without_module_prefix(tensors)


def without_module_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix of DistributedDataParallel, if all names have it."""
    if not all(name.startswith(_PREFIX) for name in weights):
        return dict(weights)
    return {name.removeprefix(_PREFIX): value for name, value in weights.items()}


def _as_tensor(value: Any) -> Any:
    """A numpy array of numbers as a tensor; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    try:
        return torch.from_numpy(value)
    except (TypeError, ValueError):  # of objects or texts, or in the other byte order
        return value
