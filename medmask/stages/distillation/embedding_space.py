"""Centering and whitening of an expert's embeddings, whose directions are not used evenly.

Embeddings of mammograms lie in a narrow cone: all are nearly alike, and most of what differs does
so in one direction. With m the mean and S the covariance of the embeddings in the stores,
e -> e - m takes away what is common, and e -> (S + r I)^(-1/2) (e - m) lets each direction count
alike, where r, a tenth of the mean variance, keeps directions of few samples from being blown up.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

SPACES = ("as_is", "centered", "whitened")
_RIDGE = 0.1


class EmbeddingSpace(nn.Module):
    """An affine map of embeddings of length 1.

    Its statistics are read from the stores with each start, and not part of a checkpoint.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, embeddings: np.ndarray, kind: str) -> None:
        """Take the statistics.

        Args:
            embeddings: (n, D), each of length 1, of what the stores hold. Fewer than two tell of no
                spread, and leave the space as it is.
            kind: one of :data:`SPACES`.
        """
        super().__init__()
        count, dim = embeddings.shape
        mean, matrix = np.zeros(dim), np.eye(dim)
        if kind != "as_is" and count > 1:
            mean = embeddings.astype(np.float64).mean(axis=0)
        if kind == "whitened" and count > 1:
            matrix = _inverse_root(embeddings.astype(np.float64) - mean)
        self.register_buffer("mean", torch.from_numpy(mean).float(), persistent=False)
        self.register_buffer("matrix", torch.from_numpy(matrix).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(R, D) of length 1 -> (R, D), of any length."""
        return (x - self.mean.to(x.dtype)) @ self.matrix.to(x.dtype)


def _inverse_root(centered: np.ndarray) -> np.ndarray:
    """(S + r I)^(-1/2) of (n, D) rows around 0."""
    covariance = centered.T @ centered / len(centered)
    variances, directions = np.linalg.eigh(covariance)
    ridge = max(_RIDGE * float(variances.mean()), np.finfo(np.float64).tiny)
    return (directions / np.sqrt(variances.clip(min=0) + ridge)) @ directions.T


def make_space(embeddings: Iterable[np.ndarray], kind: str) -> EmbeddingSpace | None:
    """Make the space of what several stores hold; None leaves embeddings as they are.

    Args:
        embeddings: (n_i, D) of each store, at least one; not looked at for "as_is".
        kind: one of :data:`SPACES`.
    """
    if kind == "as_is":
        return None
    return EmbeddingSpace(np.concatenate(list(embeddings)).astype(np.float32), kind)
