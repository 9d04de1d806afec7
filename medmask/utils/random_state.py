"""The state of all random generators of a process, as plain tensors and numbers."""

import random
from typing import Any, cast

import numpy as np
import torch


def get_random_state() -> dict[str, Any]:
    """The state of Python's, numpy's and torch's generators.

    Returns:
        A dict that ``torch.load(weights_only=True)`` reads back.
    """
    version, internal, gauss_next = random.getstate()
    name, keys, *position = cast(tuple, np.random.get_state(legacy=True))
    state = {
        "python": [version, list(internal), gauss_next],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *position],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what :func:`get_random_state` gave."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, *position = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *position))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
