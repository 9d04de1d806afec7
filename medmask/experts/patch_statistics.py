"""Mean and spread of an expert's patch tokens, channel by channel.

A few channels of a vision transformer are many times as large as the others. Where patches are to
be compared, each channel counts alike once it is standardized.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class PatchStatistics(NamedTuple):
    """Of the patches of one or several stores."""

    mean: np.ndarray
    """(C,) float32"""
    std: np.ndarray
    """(C,) float32, above 0; 1 for a channel of one value"""


def patch_moments(grids: np.ndarray, placements: np.ndarray) -> np.ndarray:
    """Sum over the patches whose middle shows the image; padding does not count.

    Args:
        grids: (n, h, w, C) patch tokens.
        placements: (n, 4) corners of the images in [0, 1] of the grids.

    Returns:
        (3, C) float64: how many patches there are, their sum and the sum of their squares.
    """
    moments = np.zeros((3, grids.shape[-1]))
    height, width = grids.shape[1:3]
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    for grid, (x0, y0, x1, y1) in zip(grids, placements, strict=True):
        rows, columns = (y > y0) & (y < y1), (x > x0) & (x < x1)
        patches = grid[rows][:, columns].reshape(-1, grid.shape[-1]).astype(np.float64)
        moments += np.stack(
            (np.full(grid.shape[-1], len(patches)), patches.sum(axis=0), (patches**2).sum(axis=0))
        )
    return moments


def join_patch_moments(moments: Sequence[np.ndarray]) -> PatchStatistics:
    """Join the moments of several parts, each as of :func:`patch_moments`."""
    count, total, squares = np.sum(moments, axis=0)
    count = np.maximum(count, 1)
    mean = total / count
    variance = squares / count - mean**2
    # what is left of a constant by rounding is no spread
    constant = variance <= 1e-12 * np.maximum(squares / count, 1e-30)
    std = np.sqrt(np.where(constant, 1, variance))
    return PatchStatistics(mean.astype(np.float32), std.astype(np.float32))
