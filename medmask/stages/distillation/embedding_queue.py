"""A queue of past expert embeddings, because a small batch has too few negatives."""

import torch
from torch import Tensor, nn


class EmbeddingQueue(nn.Module):
    """The last ``size`` embeddings that were put in, with the keys of what they are of.

    As in MoCo (He et al., 2020), but since the expert is frozen, no entry is out of date. The queue
    consists of buffers, so it is in the checkpoint, and a resumed run has the negatives of an
    uninterrupted one. All processes must enqueue the same rows.
    """

    embeddings: Tensor
    keys: Tensor
    next_slot: Tensor
    count: Tensor

    def __init__(self, size: int, embedding_dim: int) -> None:
        """Create an empty queue.

        Args:
            size: entries it can hold, at least 1.
            embedding_dim: D.
        """
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(size, embedding_dim))
        self.register_buffer("keys", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("next_slot", torch.zeros((), dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @property
    def is_filled(self) -> Tensor:
        """(size,) bool, True where a slot holds an embedding."""
        # a mask, because the number of entries is on the device: reading it would wait for it
        return torch.arange(len(self.keys), device=self.keys.device) < self.count

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor, keys: Tensor) -> None:
        """Put embeddings in, in the place of the oldest ones.

        Args:
            embeddings: (n, D); if n is above the size, the last ones stay.
            keys: (n,) int64.
        """
        size = len(self.keys)
        embeddings, keys = embeddings[-size:], keys[-size:]
        slots = (self.next_slot + torch.arange(len(keys), device=keys.device)) % size
        self.embeddings[slots] = embeddings.to(self.embeddings.dtype)
        self.keys[slots] = keys
        self.next_slot.copy_((self.next_slot + len(keys)) % size)
        self.count.copy_((self.count + len(keys)).clamp(max=size))

    def clear(self) -> None:
        """Forget all embeddings."""
        for buffer in self.buffers():
            buffer.zero_()
