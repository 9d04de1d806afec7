"""Dice of predicted lesion masks on held-out images, beside that of the best constant mask."""

import torch
from torch import Tensor
from torch.nn import functional as F

from medmask.stages.learning import LearningMeasure
from medmask.stages.masks.losses import CellTargets

GRID = (32, 32)
"""Rows and columns of a constant mask, which is stretched to the size of each image."""


class MaskQuality:
    """Collects predictions of images; the cells of all images count alike, as one long map.

    The constant is the largest Dice that one mask for all images can have. It is found on the very
    images that are measured, so it is more than any answer that ignores them could reach.
    """

    def __init__(self) -> None:
        self._overlap = self._predicted = self._lesion = 0.0
        self._grid_lesion = torch.zeros(GRID, dtype=torch.float64)
        self._grid_counted = torch.zeros(GRID, dtype=torch.float64)

    def add(self, predicted: Tensor, targets: CellTargets) -> None:
        """Add an image.

        Args:
            predicted: (1, h, w) bool, the cells that are taken for lesion.
            targets: of the same cells.
        """
        lesion, counted = (x.double().cpu() for x in targets)
        taken = predicted.cpu()
        self._overlap += float(lesion[taken].sum())
        self._predicted += float(counted[taken].sum())
        self._lesion += float(lesion.sum())
        height, width = _extent(counted)
        if not height:
            return
        cells = height * width / (GRID[0] * GRID[1])  # of the image in one of the grid
        for sums, x in ((self._grid_lesion, lesion), (self._grid_counted, counted)):
            sums += cells * F.adaptive_avg_pool2d(x[:, :height, :width], GRID)[0]

    def measure(self) -> LearningMeasure | None:
        """Dice and that of the best constant mask; None without any lesion."""
        if not self._lesion:
            return None
        value = 2 * self._overlap / (self._predicted + self._lesion)
        return LearningMeasure(value, self._best_constant())

    def _best_constant(self) -> float:
        """The largest Dice of a set of positions.

        With a and c the lesion and counted pixels of a position, Dice = 2 sum(a) / (sum(c) + A).
        At the optimum d it pays to have a position if 2 a > d c, so that the best set is the first
        few positions in the order of a / c.
        """
        lesion, counted = self._grid_lesion.flatten(), self._grid_counted.flatten()
        order = (lesion / counted.clamp(min=1e-12)).argsort(descending=True)
        lesion, counted = lesion[order].cumsum(0), counted[order].cumsum(0)
        return float((2 * lesion / (counted + lesion[-1])).max())


def _extent(counted: Tensor) -> tuple[int, int]:
    """Rows and columns (from the first on) in which any cell of (1, h, w) counts."""
    rows, columns = (counted[0].any(dim=d).nonzero() for d in (1, 0))
    return (int(rows[-1]) + 1, int(columns[-1]) + 1) if len(rows) else (0, 0)
