"""Which tokens a masked autoencoder hides.

A strategy takes the levels' padding masks, finest level first, each (N, h, w) bool, and the ratio r
in [0, 1]; it gives masks of the same shapes, True where a token is hidden. The ratio is the share
of the unpadded tokens of one image and level: of n tokens, round(r n) are hidden, but at least one,
and (if n > 1) not all. Padding is never hidden: it is not there in the first place.

Random numbers come from torch's default generator, whose state is in the checkpoint.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

MaskingStrategy = Callable[[Sequence[Tensor], float], list[Tensor]]


def mask_independently(padding_masks: Sequence[Tensor], ratio: float) -> list[Tensor]:
    """Hide tokens of each level at random, whatever is hidden on the others."""
    return [_hide_at_random(padding, ratio) for padding in padding_masks]


def mask_aligned(padding_masks: Sequence[Tensor], ratio: float) -> list[Tensor]:
    """Hide the same places on every level, so that no scale gives away what another hides.

    The coarsest level is drawn, and a cell of a finer one is hidden like the cell of the next
    coarser level that its centre lies in (padding excepted; where that cell is padding, like the
    last one before the padding). The share hidden on finer levels is therefore the ratio up to how
    evenly their cells divide among the coarser ones. Nesting in a single cell would hide all or
    nothing: where an image has only one on the next coarser level, the level is drawn by itself.
    """
    hidden: list[Tensor] = []
    coarser = None
    for padding in reversed(padding_masks):
        drawn = _hide_at_random(padding, ratio)
        if coarser is not None:
            nested = _nest(hidden[-1], coarser, padding)
            is_single = (~coarser).sum((1, 2)) == 1
            drawn = torch.where(is_single[:, None, None], drawn, nested)
        hidden.append(drawn)
        coarser = padding
    return hidden[::-1]


MASKING_STRATEGIES: dict[str, MaskingStrategy] = {
    "independent": mask_independently,
    "aligned": mask_aligned,
}


def _hide_at_random(padding: Tensor, ratio: float) -> Tensor:
    """Hide the tokens with the lowest random scores: (N, h, w) -> (N, h, w)."""
    shape, padding = padding.shape, padding.flatten(1)
    present = (~padding).sum(1, keepdim=True)
    count = (ratio * present.double()).round().long()
    count = torch.maximum(torch.minimum(count, present - 1), torch.ones_like(count))
    scores = torch.rand(padding.shape, device=padding.device).masked_fill(padding, torch.inf)
    ranks = scores.argsort(dim=1).argsort(dim=1)
    return (ranks < count).view(shape)


def _nest(hidden: Tensor, coarser_padding: Tensor, padding: Tensor) -> Tensor:
    """Hide cells like the coarser cells around their centres.

    Args:
        hidden: (N, H, W), of the coarser level.
        coarser_padding: (N, H, W).
        padding: (N, h, w).

    Returns:
        (N, h, w).
    """
    (h, w), (H, W) = padding.shape[1:], coarser_padding.shape[1:]
    row = _around_centres(h, H, (~coarser_padding[:, :, 0]).sum(1))  # (N, h)
    column = _around_centres(w, W, (~coarser_padding[:, 0, :]).sum(1))  # (N, w)
    image = torch.arange(len(hidden), device=hidden.device)
    nested = hidden[image[:, None, None], row[:, :, None], column[:, None, :]]
    return nested & ~padding


def _around_centres(size: int, coarser_size: int, present: Tensor) -> Tensor:
    """Index of the coarser cell around the centre of each cell: (N,) unpadded cells -> (N, size).

    Whole numbers keep a centre that lies on the line between two cells from being rounded.
    """
    cells = torch.arange(size, device=present.device)
    around = (2 * cells + 1) * coarser_size // (2 * size)
    return torch.minimum(around, present[:, None] - 1)
