"""Results of evaluators, which may be the user's own, as plain numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from medmask.errors import InputError


def to_numbers(results: Any, name: str = "") -> dict[str, Any]:
    """Make numbers of numpy's and PyTorch's, which neither JSON nor a table takes.

    Args:
        results: nested dicts, as evaluators give them.
        name: of the part of the results that this is, for errors.

    Returns:
        The same dicts of ints and floats.

    Raises:
        InputError: a value is no number, or a key no text.
    """
    if not isinstance(results, Mapping):
        raise InputError(
            f"dataloader.evaluator gives its results as {type(results).__name__}: return a dict of "
            "name -> number, or of such dicts"
        )
    numbers = {}
    for key, value in results.items():
        path = f"{name}/{key}" if name else str(key)
        if not isinstance(key, str):
            raise InputError(
                f"dataloader.evaluator gives a result {path}, named by a {type(key).__name__}: "
                "name it by a text"
            )
        is_dict = isinstance(value, Mapping)
        numbers[key] = to_numbers(value, path) if is_dict else _to_number(value, path)
    return numbers


def _to_number(value: Any, name: str) -> int | float:
    if isinstance(value, Tensor | np.generic | np.ndarray) and np.prod(value.shape) == 1:
        value = value.item()
    if not isinstance(value, int | float):
        raise InputError(
            f"dataloader.evaluator gives {name} as a {type(value).__name__}, but results are "
            "numbers: write anything else to a file, and leave it out"
        )
    return value
