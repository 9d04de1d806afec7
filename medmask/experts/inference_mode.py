"""The mode in which experts run."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@contextlib.contextmanager
def inference_mode(device: torch.device) -> Iterator[None]:
    """No gradients; on a GPU, half precision."""
    kind = device.type
    with torch.inference_mode(), torch.autocast(kind, torch.float16, enabled=kind != "cpu"):
        yield


def to_unit_length(embeddings: Tensor) -> np.ndarray:
    """(B, D) of any precision -> (B, D) float32 of length 1, on the CPU."""
    # in float32: squares of half-precision numbers overflow
    return F.normalize(embeddings.float(), dim=-1).cpu().numpy()
