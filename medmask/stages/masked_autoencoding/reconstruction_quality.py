"""R2 of reconstructions on held-out images against the mean of each position."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medmask.modeling import MedMask
from medmask.stages.learning import LearningMeasure, Sample, observing
from medmask.stages.masked_autoencoding.reconstruction import ReconstructionStep


class ReconstructionQuality:
    """R2 = 1 - sum |y - reconstruction|^2 / sum |y - m|^2 over all masked positions.

    m is the mean of y over the images at the same position of the breast image: 0 is what the best
    answer gets that is the same for every image, a strict one, as each image is in the mean.
    Positions are cells of a grid over the unpadded image, so that images of several sizes compare.

    Args:
        grid_size: (H, W) cells. A map of that size has one position in each.
    """

    def __init__(self, grid_size: Sequence[int]) -> None:
        self.grid_size = tuple(grid_size)
        self._residual = 0.0
        self._square = 0.0
        self._sums: Tensor | None = None

    def add(self, target: Tensor, reconstruction: Tensor, masked: Tensor, padding: Tensor) -> None:
        """Add images.

        Args:
            target: y, (N, C, h, w).
            reconstruction: (N, C, h, w).
            masked: (N, h, w) bool.
            padding: (N, h, w) bool.
        """
        for y, answer, is_masked, is_padding in zip(
            target, reconstruction, masked, padding, strict=True
        ):
            visible = ~is_padding
            y, answer = (x[:, visible].T.double().cpu() for x in (y, answer))  # (positions, C)
            counted = is_masked[visible].cpu()
            self._residual += float((y - answer)[counted].square().sum())
            self._square += float(y[counted].square().sum())
            self._add_to_cells(y, counted, self._cells(is_padding.cpu()))

    def r2(self) -> float:
        """Compute R2, at most 1; NaN without a masked position that varies among the images."""
        if self._sums is None:
            return float("nan")
        # of all positions and of masked ones: sums of y over each cell, and how many they are
        (total, masked_total), (count, masked_count) = (
            self._sums[..., :-1],
            self._sums[..., -1:],
        )
        mean = total / count.clamp(min=1)
        variation = self._square - (2 * mean * masked_total - masked_count * mean.square()).sum()
        if variation <= 1e-12 * self._square:
            return float("nan")
        return 1 - self._residual / float(variation)

    def _add_to_cells(self, y: Tensor, counted: Tensor, cells: Tensor) -> None:
        rows = torch.cat((y, torch.ones(len(y), 1, dtype=y.dtype)), dim=1)
        if self._sums is None:
            height, width = self.grid_size
            self._sums = torch.zeros(2, height * width, rows.shape[1], dtype=y.dtype)
        self._sums[0].index_add_(0, cells, rows)
        self._sums[1].index_add_(0, cells[counted], rows[counted])

    def _cells(self, padding: Tensor) -> Tensor:
        """Find the cell of each unpadded position: (h, w) bool -> (positions,) int64."""
        height, width = self.grid_size
        h, w = int((~padding[:, 0]).sum()), int((~padding[0]).sum())
        row = (2 * torch.arange(h) + 1) * height // (2 * h)
        column = (2 * torch.arange(w) + 1) * width // (2 * w)
        return (row[:, None] * width + column).flatten()


def measure_reconstructions(
    detector: MedMask,
    samples: Iterable[Sample],
    step: Callable[[MedMask, list[dict[str, Any]]], ReconstructionStep],
    grid_sizes: Mapping[str, Sequence[int]],
) -> dict[str, LearningMeasure]:
    """Measure R2 on held-out images against 0, that of the mean of each position.

    Args:
        detector: left as it is.
        samples: of the images.
        step: masks and rebuilds.
        grid_sizes: name of the target -> see :class:`ReconstructionQuality`.

    Returns:
        A measure for each target.
    """
    qualities = {name: ReconstructionQuality(size) for name, size in grid_sizes.items()}
    with observing(detector):
        for sample in samples:
            result = step(detector, [sample])
            for name, quality in qualities.items():
                quality.add(
                    result.targets[name],
                    result.reconstructions[name],
                    result.masked[name],
                    result.padding[name],
                )
    return {name: LearningMeasure(quality.r2(), 0.0) for name, quality in qualities.items()}
