"""A hash of a model's weights, by which a store tells whose embeddings it holds."""

import hashlib

import torch
from torch import nn


def hash_weights(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights, which are on the CPU."""
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
