"""Cross-entropy and Dice between a map of logits and the lesion maps of images.

A cell of the map stands for s x s pixels, which all have its probability p. Let c be the share of
them that counts (neither padding nor ignored) and y the share that is lesion. The losses of an
image are those of its pixels, written in cells:

    cross-entropy = sum(-y log p - (c - y) log(1 - p)) / sum(c)
    Dice = 1 - (2 sum(y p) + 1) / (sum(c p) + sum(y) + 1)

The 1 is one cell; it keeps the gradient of small lesions finite. Dice is the mean over images with
a lesion, for where there is none it tells nothing; cross-entropy that over all images with a pixel
that counts. Both are means over the images of all processes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from medmask.data.outlines import IGNORED, LESION
from medmask.utils.distributed import mean_over_processes

_SMOOTHING = 1.0


class CellTargets(NamedTuple):
    """Knowledge of the cells of a map: (N, h, w) float32, in [0, 1]."""

    lesion: Tensor
    """y, the share of a cell's pixels that is lesion; at most that which counts"""
    counted: Tensor
    """c, the share that counts"""


def cell_targets(
    lesion_maps: Sequence[Tensor], size: tuple[int, int], stride: int, device: torch.device
) -> CellTargets:
    """Reduce the lesion maps of a batch to cells; all outside of an image is padding.

    Args:
        lesion_maps: (H, W) uint8 of each image, with the upper left corner of the batch's.
        size: (h, w) of the map of cells.
        stride: pixels from one cell to the next.
        device: of the result.
    """
    height, width = (side * stride for side in size)
    maps = torch.full((len(lesion_maps), height, width), IGNORED, dtype=torch.uint8)
    for canvas, lesion_map in zip(maps, lesion_maps, strict=True):
        inside = lesion_map[:height, :width]
        canvas[: inside.shape[0], : inside.shape[1]] = inside
    maps = maps.to(device, non_blocking=True)
    return CellTargets(
        *(F.avg_pool2d(x.float(), stride) for x in (maps == LESION, maps != IGNORED))
    )


def mask_losses(logits: Tensor, targets: CellTargets) -> tuple[Tensor, Tensor]:
    """Compute cross-entropy and Dice, in float32 also under autocast.

    Args:
        logits: (N, h, w) of "lesion".
        targets: of the same cells.

    Returns:
        Two scalars, see :func:`mean_over_processes`.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float().flatten(1)
        lesion, counted = targets.lesion.flatten(1), targets.counted.flatten(1)
        # -y log p - (c - y) log(1 - p), with log(1 - p) = -softplus(z) and log p = z - softplus(z)
        entropy = (counted * F.softplus(logits) - lesion * logits).sum(dim=1)
        num_counted = counted.sum(dim=1)
        has_pixels = num_counted > 0
        cross_entropy = entropy[has_pixels] / num_counted[has_pixels]
        p = logits.sigmoid()
        overlap = 2 * (lesion * p).sum(dim=1) + _SMOOTHING
        dice = 1 - overlap / ((counted * p).sum(dim=1) + lesion.sum(dim=1) + _SMOOTHING)
        has_lesion = lesion.sum(dim=1) > 0
        return mean_over_processes(cross_entropy), mean_over_processes(dice[has_lesion])
