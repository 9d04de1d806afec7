"""Strategies that choose the tokens to mask.

A strategy takes the levels' padding masks, finest level first, each (N, h, w) bool, a random score
for each of their tokens, and the ratio r in [0, 1]; it gives masks of the same shapes, True where a
token is masked. The ratio is the share of the unpadded tokens of one image and level: of n tokens
that are drawn, round(r n) are masked, but at least one, and (if n > 1) not all. Padding is never
masked: it is not there in the first place.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

MaskingStrategy = Callable[[Sequence[Tensor], Sequence[Tensor], float], list[Tensor]]


def draw_scores(
    sizes: Sequence[tuple[int, int]], generators: Sequence[torch.Generator | None]
) -> list[Tensor]:
    """Draw random scores in [0, 1) for the tokens of all levels.

    An image's scores come from a generator of its own, so that among images of one size its mask
    does not depend on which others are in the batch, and so on the number of processes. Beside
    larger ones it has another mask, as its maps are padded to theirs.

    Args:
        sizes: (h, w) of each level.
        generators: one on the CPU for each of N images; None is torch's default one.

    Returns:
        Per level (N, h, w), on the CPU.
    """
    images = [[torch.rand(size, generator=g) for size in sizes] for g in generators]
    return [torch.stack(level) for level in zip(*images, strict=True)]


def mask_independently(
    padding_masks: Sequence[Tensor], scores: Sequence[Tensor], ratio: float
) -> list[Tensor]:
    """Mask tokens of each level at random, whatever is masked on the others."""
    return [
        _mask_lowest(level_scores, padding, ratio)
        for level_scores, padding in zip(scores, padding_masks, strict=True)
    ]


def mask_aligned(
    padding_masks: Sequence[Tensor], scores: Sequence[Tensor], ratio: float
) -> list[Tensor]:
    """Mask the same positions on every level, so that no scale gives away what another masks.

    The coarsest level is drawn, and a cell of a finer one is masked like the cell of the next
    coarser level that its center lies in (padding excepted; where that cell is padding, like the
    last one before the padding). The share masked on finer levels is therefore the ratio up to how
    evenly their cells divide among the coarser ones. Nesting in a single cell would mask all or
    nothing: where an image has only one on the next coarser level, the level is drawn by itself.
    """
    masked: list[Tensor] = []
    coarser = None
    for padding, level_scores in zip(reversed(padding_masks), reversed(scores), strict=True):
        drawn = _mask_lowest(level_scores, padding, ratio)
        if coarser is not None:
            nested = _nest(masked[-1], coarser, padding)
            is_single = (~coarser).sum((1, 2)) == 1
            drawn = torch.where(is_single[:, None, None], drawn, nested)
        masked.append(drawn)
        coarser = padding
    return masked[::-1]


MASKING_STRATEGIES: dict[str, MaskingStrategy] = {
    "independent": mask_independently,
    "aligned": mask_aligned,
}


def _mask_lowest(scores: Tensor, padding: Tensor, ratio: float) -> Tensor:
    """Mask the tokens with the lowest scores: (N, h, w) -> (N, h, w)."""
    shape, padding = padding.shape, padding.flatten(1)
    present = (~padding).sum(1, keepdim=True)
    count = (ratio * present.double()).round().long()
    count = torch.maximum(torch.minimum(count, present - 1), torch.ones_like(count))
    ranks = scores.flatten(1).masked_fill(padding, torch.inf).argsort(dim=1).argsort(dim=1)
    return (ranks < count).view(shape)


def _nest(masked: Tensor, coarser_padding: Tensor, padding: Tensor) -> Tensor:
    """Mask cells like the coarser cells around their centers.

    Args:
        masked: (N, H, W), of the coarser level.
        coarser_padding: (N, H, W).
        padding: (N, h, w).

    Returns:
        (N, h, w).
    """
    (h, w), (H, W) = padding.shape[1:], coarser_padding.shape[1:]
    row = _around_centers(h, H, (~coarser_padding[:, :, 0]).sum(1))  # (N, h)
    column = _around_centers(w, W, (~coarser_padding[:, 0, :]).sum(1))  # (N, w)
    image = torch.arange(len(masked), device=masked.device)
    nested = masked[image[:, None, None], row[:, :, None], column[:, None, :]]
    return nested & ~padding


def _around_centers(size: int, coarser_size: int, present: Tensor) -> Tensor:
    """Find the coarser cell around the center of each cell: (N,) unpadded cells -> (N, size).

    Whole numbers keep a center that lies on the line between two cells from being rounded.
    """
    cells = torch.arange(size, device=present.device)
    around = (2 * cells + 1) * coarser_size // (2 * size)
    return torch.minimum(around, present[:, None] - 1)
