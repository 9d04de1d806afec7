"""Feature maps of several levels as one sequence of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class MultiScaleTokens:
    """The maps of all levels, flattened row by row and concatenated (S tokens), finest first."""

    tokens: Tensor
    """(N, S, C)"""
    positions: Tensor
    """(N, S, C): position encoding plus level embedding"""
    padding_mask: Tensor
    """(N, S) bool, True where a token is padding"""
    spatial_shapes: Tensor
    """(L, 2) int64: (h, w) of each level"""
    level_start_index: Tensor
    """(L,) int64: index of the first token of each level"""
    valid_ratios: Tensor
    """(N, L, 2): the share of each map's (width, height) that the image covers, in (0, 1]"""

    @property
    def num_levels(self) -> int:
        return len(self.spatial_shapes)


def flatten_levels(
    maps: Sequence[Tensor], positions: Sequence[Tensor], padding_masks: Sequence[Tensor]
) -> MultiScaleTokens:
    """Flatten feature maps into one sequence.

    Args:
        maps: per level (N, C, h, w).
        positions: per level (N, C, h, w).
        padding_masks: per level (N, h, w) bool, True where the map is padding.
    """
    device = maps[0].device
    sizes = torch.tensor([m.shape[-2:] for m in maps])
    areas = sizes.prod(1)
    return MultiScaleTokens(
        tokens=torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1),
        positions=torch.cat([p.flatten(2).transpose(1, 2) for p in positions], dim=1),
        padding_mask=torch.cat([m.flatten(1) for m in padding_masks], dim=1),
        spatial_shapes=sizes.to(device),
        level_start_index=(areas.cumsum(0) - areas).to(device),
        valid_ratios=torch.stack([_valid_ratio(m) for m in padding_masks], dim=1),
    )


def _valid_ratio(padding_mask: Tensor) -> Tensor:
    """(N, h, w) -> (N, 2): the unpadded share of the first row (width) and column (height)."""
    width = (~padding_mask[:, 0, :]).float().mean(1)
    height = (~padding_mask[:, :, 0]).float().mean(1)
    return torch.stack((width, height), dim=-1)


def make_padding_mask(image_sizes: Sequence[tuple[int, int]], padded: tuple[int, int]) -> Tensor:
    """Mask of a padded batch: (N, H, W) bool, True outside each image.

    Args:
        image_sizes: (height, width) of each image in pixels.
        padded: (H, W) of the batch.
    """
    heights, widths = torch.tensor(image_sizes).unbind(1)
    rows = torch.arange(padded[0]) >= heights[:, None]  # (N, H)
    columns = torch.arange(padded[1]) >= widths[:, None]  # (N, W)
    return rows[:, :, None] | columns[:, None, :]


def resize_mask(padding_mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour resize of a mask: (N, H, W) -> (N, *size) bool."""
    return F.interpolate(padding_mask[:, None].float(), size=size)[:, 0].bool()


def token_centres(features: MultiScaleTokens) -> Tensor:
    """Centre of every token: (N, S, 2) as (x, y) in [0, 1] of the unpadded image (padding: > 1)."""
    centres = []
    for level, (h, w) in enumerate(features.spatial_shapes.tolist()):
        options = {"dtype": torch.float32, "device": features.tokens.device}
        y = (torch.arange(h, **options) + 0.5) / h
        x = (torch.arange(w, **options) + 0.5) / w
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)  # (h*w, 2)
        centres.append(grid[None] / features.valid_ratios[:, None, level])
    return torch.cat(centres, dim=1)
