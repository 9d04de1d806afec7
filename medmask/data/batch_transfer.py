"""A batch's way from a worker process to the training process, in one piece.

PyTorch sends each tensor as a shared file of its own, with a connection for each; small batches
take longer to hand over than to load. Here the whole batch becomes one tensor of bytes.
"""

import io
import pickle
from typing import Any

import torch
from torch import Tensor


def pack(samples: list[Any]) -> Tensor:
    """Samples with CPU tensors anywhere in them -> (bytes,) uint8."""
    stream = io.BytesIO()
    _Pickler(stream, protocol=5).dump(samples)
    return torch.frombuffer(stream.getbuffer(), dtype=torch.uint8)


def unpack(packed: Tensor) -> list[Any]:
    """What :func:`pack` was given, as copies."""
    return pickle.loads(packed.numpy())


class _Pickler(pickle.Pickler):
    """Writes tensors as arrays, which pickle copies at once."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is Tensor:
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented
