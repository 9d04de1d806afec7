"""The expert's patches at the places of the encoder's tokens.

A token of stride s stands for the pixels around (s (j + 1/2), s (i + 1/2)) of the sample. The
mapper's matrix takes that point back through flip, rotation, resize and crop to the original image;
from there it is a shift and a scaling to the grid of the expert, which saw the whole image, or the
breast in it, upright. The grid is interpolated between the middles of its patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from medmask.experts import ExpertView


@dataclass(frozen=True)
class ExpertPatches:
    """The expert's patch grid of one image of a batch."""

    index: int
    """of the image in the batch"""
    grid: Tensor
    """(h, w, C) float32"""
    view: ExpertView
    """what of the image the grid shows"""
    to_original: Sequence[Sequence[float]]
    """(2, 3): from pixels of the sample to pixels of the original image"""
    size: tuple[int, int]
    """(height, width) of the sample in pixels, without padding"""


def cell_centers(map_size: tuple[int, int], stride: int) -> Tensor:
    """The middles of a map's cells: (h, w, 2) float64 as (x, y) in pixels of the sample."""
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) * stride for n in map_size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def grid_places(patches: ExpertPatches, points: Tensor) -> tuple[Tensor, Tensor]:
    """Find points of a sample in the expert's grid.

    Args:
        patches: of the sample.
        points: (..., 2) float64 as (x, y) in pixels of the sample.

    Returns:
        (..., 2) places as (x, y) in [0, 1] of the grid, and (...) bool, True where a point lies in
        the sample, not in its padding, and the expert has seen it.
    """
    matrix = torch.tensor(patches.to_original, dtype=torch.float64)
    original = points @ matrix[:, :2].T + matrix[:, 2]
    region, placement = (torch.tensor(x, dtype=torch.float64) for x in patches.view)
    share = (original - region[:2]) / (region[2:] - region[:2])
    height, width = patches.size
    in_sample = (points >= 0) & (points < torch.tensor([width, height]))
    in_region = (share >= 0) & (share < 1)
    places = placement[:2] + share * (placement[2:] - placement[:2])
    return places, (in_sample & in_region).all(dim=-1)


def patches_at(grid: Tensor, places: Tensor) -> Tensor:
    """Interpolate a grid bilinearly; beyond the middles of its outermost patches it is constant.

    Args:
        grid: (h, w, C).
        places: (R, 2) as (x, y) in [0, 1] of the grid.

    Returns:
        (R, C).
    """
    points = (2 * places - 1).to(grid.dtype)[None, None]
    values = F.grid_sample(
        grid.permute(2, 0, 1)[None], points, padding_mode="border", align_corners=False
    )
    return values[0, :, 0].T
