"""Random arguments of the operators, of the shapes that detectors have."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_FULL = ((100, 167), (50, 84), (25, 42), (13, 21))
_SMALL = ((32, 32), (16, 16), (8, 8), (4, 4))
_HEADS, _CHANNELS, _POINTS = 8, 32, 4
SHAPES = {  # levels, number of queries
    "encoder": (_FULL, sum(h * w for h, w in _FULL)),
    "decoder": (_FULL, 300),
    "small-encoder": (_SMALL, sum(h * w for h, w in _SMALL)),
}
ENTRIES = ("given", "projected")
"""ms_deform_attn's arguments, and ms_deform_attn_fused's"""


class Problem(NamedTuple):
    """Arguments of an operator: (value, spatial_shapes, level_start_index, *samples)."""

    inputs: tuple[Tensor, ...]

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """Differentiated tensors: all but the shapes, the start indices and the references."""
        value, _, _, *samples = self.inputs
        return (value, *samples[-2:])

    def map(self, function: Callable[[Tensor], Tensor]) -> "Problem":
        """The problem with its floating-point tensors changed."""
        return Problem(tuple(function(x) if x.is_floating_point() else x for x in self.inputs))


def random_problem(shape: str, entry: str, batch: int, dtype: torch.dtype, seed: int) -> Problem:
    """Make a problem whose queries look around the centers of tokens, as in an encoder.

    No location is near the line between two pixels, where the gradient of a location jumps and
    rounding would choose the side.
    """
    levels, num_queries = SHAPES[shape]
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(levels)
    areas = sizes.prod(1)
    value = torch.randn(batch, int(areas.sum()), _HEADS, _CHANNELS, generator=generator)
    centers = torch.cat([_centers(h, w) for h, w in levels])
    if num_queries < len(centers):
        centers = centers[torch.randperm(len(centers), generator=generator)[:num_queries]]
    layout = (batch, num_queries, _HEADS, len(levels), _POINTS)
    extent = sizes.flip(1)[:, None]  # (L, 1, 2) as (w, h)
    pixels = centers[:, None, None, None] * extent - 0.5
    pixels = (pixels + 2 * torch.randn(*layout, 2, generator=generator)).floor()
    pixels += 0.1 + 0.8 * torch.rand(pixels.shape, generator=generator)
    logits = torch.randn(layout, generator=generator)
    common = (value.to(dtype), sizes, areas.cumsum(0) - areas)
    wide = torch.promote_types(dtype, torch.float32)
    if entry == "given":
        weights = logits.flatten(3).softmax(-1).view(layout)
        return Problem((*common, ((pixels + 0.5) / extent).to(wide), weights.to(wide)))
    references = centers[:, None].expand(batch, -1, len(levels), -1).contiguous()
    offsets = pixels + 0.5 - references[:, :, None, :, None] * extent
    return Problem((*common, references.to(wide), offsets.to(dtype), logits.to(dtype)))


def _centers(height: int, width: int) -> Tensor:
    """(height * width, 2): (x, y) in [0, 1] of the center of each pixel of a map."""
    ys, xs = (torch.arange(size).add(0.5).div(size) for size in (height, width))
    return torch.cartesian_prod(ys, xs).flip(1)
