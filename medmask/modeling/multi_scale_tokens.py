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
    sizes: Sequence[tuple[int, int]]
    """L sizes (h, w), known without waiting for a GPU"""
    spatial_shapes: Tensor
    """(L, 2) int64: ``sizes`` on the device"""
    level_start_index: Tensor
    """(L,) int64: index of the first token of each level"""
    valid_ratios: Tensor
    """(N, L, 2): the share of each map's (width, height) that the image covers, in (0, 1]"""
    centers: Tensor
    """(N, S, 2): center of each token as (x, y) in [0, 1] of the unpadded image; > 1 in padding"""

    @property
    def num_levels(self) -> int:
        return len(self.sizes)

    def split_levels(self, x: Tensor) -> list[Tensor]:
        """Split values of the tokens into maps: (N, S, ...) -> per level (N, h, w, ...)."""
        levels = x.split([h * w for h, w in self.sizes], dim=1)
        return [level.unflatten(1, size) for level, size in zip(levels, self.sizes, strict=True)]


def flatten_levels(
    maps: Sequence[Tensor],
    positions: Sequence[Tensor],
    padding_masks: Sequence[Tensor],
) -> MultiScaleTokens:
    """Flatten feature maps into one sequence.

    Args:
        maps: per level (N, C, h, w).
        positions: per level (N, C, h, w).
        padding_masks: per level (N, h, w) bool, True where the map is padding.
    """
    device = maps[0].device
    sizes = [(m.shape[-2], m.shape[-1]) for m in maps]
    spatial_shapes = torch.tensor(sizes)
    areas = spatial_shapes.prod(1)
    valid_ratios = torch.stack([valid_ratio(m) for m in padding_masks], dim=1)
    return MultiScaleTokens(
        tokens=torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1),
        positions=torch.cat([p.flatten(2).transpose(1, 2) for p in positions], dim=1),
        padding_mask=torch.cat([m.flatten(1) for m in padding_masks], dim=1),
        sizes=sizes,
        # Blocking copies would wait for the backbone.
        spatial_shapes=spatial_shapes.to(device, non_blocking=True),
        level_start_index=(areas.cumsum(0) - areas).to(device, non_blocking=True),
        valid_ratios=valid_ratios,
        centers=token_centers(sizes, valid_ratios),
    )


def valid_ratio(padding_mask: Tensor) -> Tensor:
    """(N, h, w) -> (N, 2): the unpadded share of the first row (width) and column (height)."""
    width = (~padding_mask[:, 0, :]).float().mean(1)
    height = (~padding_mask[:, :, 0]).float().mean(1)
    return torch.stack((width, height), dim=-1)


def token_centers(sizes: Sequence[tuple[int, int]], valid_ratios: Tensor) -> Tensor:
    """Sizes (h, w) of the levels and their (N, L, 2) valid ratios -> (N, S, 2)."""
    device = valid_ratios.device
    centers = []
    for level, (h, w) in enumerate(sizes):
        y = (torch.arange(h, dtype=torch.float32, device=device) + 0.5) / h
        x = (torch.arange(w, dtype=torch.float32, device=device) + 0.5) / w
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)  # (h*w, 2)
        centers.append(grid / valid_ratios[:, None, level])
    return torch.cat(centers, dim=1)


def make_padding_mask(
    image_sizes: Sequence[tuple[int, int]],
    padded: tuple[int, int],
    device: torch.device | None = None,
) -> Tensor:
    """Mask of a padded batch: (N, H, W) bool, True outside each image.

    Args:
        image_sizes: (height, width) of each image in pixels; constants of a trace, as the sizes of
            all maps are, which holds for images of these sizes alone.
        padded: (H, W) of the batch.
        device: of the mask; the CPU if None.
    """
    if torch.jit.is_tracing():  # as where Detectron2 counts operations; sizes are tensors then
        image_sizes = [(int(height), int(width)) for height, width in image_sizes]
    # A blocking copy would wait for the backbone.
    heights, widths = torch.tensor(image_sizes).to(device, non_blocking=True).unbind(1)
    rows = torch.arange(padded[0], device=device) >= heights[:, None]  # (N, H)
    columns = torch.arange(padded[1], device=device) >= widths[:, None]  # (N, W)
    return rows[:, :, None] | columns[:, None, :]


def resize_mask(padding_mask: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize a mask to the nearest neighbor: (N, H, W) -> (N, *size) bool."""
    return F.interpolate(padding_mask[:, None].float(), size=size)[:, 0].bool()
