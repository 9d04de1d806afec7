"""Masked autoencoding as a picture: input, masked tokens, error of the reconstruction."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from medmask.modeling import MedMask
from medmask.stages.learning import observing
from medmask.stages.masked_autoencoding.reconstruction import ReconstructionStep, squared_error

TALLEST = 400
"""Pixels: taller images are shrunk."""
GREATEST_ERROR = 2.0
"""Of the color map, in units of the map's variance; 1 is the error of predicting the mean."""
_CAPTION_HEIGHT = 20
_GAP = 4
_MASKED_GREY = 128


def draw_reconstructions(
    model: MedMask,
    batch: Sequence[dict[str, Any]],
    step: Callable[[MedMask, list[dict[str, Any]]], ReconstructionStep],
    caption: str,
) -> np.ndarray:
    """Draw a row of panels for each image: the input, then masked tokens and the error by target.

    The error is the squared error of each position, averaged over channels, over the variance of
    the map in this image: black is a perfect reconstruction, pale yellow twice the error that the
    mean of the map would have, or more. Masks are the same in every picture of one mask ratio.

    The model, its mode and the random generators are left as they were.

    Args:
        model: the detector.
        batch: samples with ``image``.
        step: masks and rebuilds.
        caption: of the panels of masked tokens, behind the target's name.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    with observing(model):
        torch.manual_seed(0)
        result = step(model, list(batch))
    columns = [("input", [_to_bytes(sample["image"]) for sample in batch])]
    for name in result.targets:
        columns.append((f"{name}: {caption}", _masked_panels(columns[0][1], result, name)))
        columns.append((f"error / variance, 0-{GREATEST_ERROR:.0f}", _error_panels(result, name)))
    return _arrange(columns)


def _masked_panels(
    images: Sequence[np.ndarray], result: ReconstructionStep, name: str
) -> list[np.ndarray]:
    panels = []
    for image, masked in zip(images, result.masked[name], strict=True):
        cells = _enlarge(masked.cpu().numpy().astype(np.uint8), result.padded_size, image.shape)
        panels.append(np.where(cells[..., None] > 0, np.uint8(_MASKED_GREY), image))
    return panels


def _error_panels(result: ReconstructionStep, name: str) -> list[np.ndarray]:
    target, reconstruction = result.targets[name], result.reconstructions[name]
    panels = []
    for i, error in enumerate(squared_error(reconstruction, target)):
        positions = target[i].float()[:, ~result.padding[name][i]]  # (C, positions)
        variance = positions.var(dim=1, correction=0).mean().clamp(min=1e-12)
        shade = (error / variance / GREATEST_ERROR).clamp(0, 1) * 255
        cells = shade.round().byte().cpu().numpy()
        colored = cv2.applyColorMap(cells, cv2.COLORMAP_INFERNO)[..., ::-1]
        panels.append(_enlarge(colored, result.padded_size, result.image_sizes[i]))
    return panels


def _enlarge(
    cells: np.ndarray, padded_size: tuple[int, int], image_size: Sequence[int]
) -> np.ndarray:
    """Enlarge a padded map (h, w, ...) to the pixels of the unpadded image."""
    (height, width), (h, w) = padded_size, cells.shape[:2]
    rows = np.arange(image_size[0]) * h // height
    columns = np.arange(image_size[1]) * w // width
    return cells[rows[:, None], columns]


def _to_bytes(image: Tensor) -> np.ndarray:
    """Convert (3, H, W) in [0, 255] to (H, W, 3) uint8."""
    return image.permute(1, 2, 0).float().round().byte().cpu().numpy()


def _arrange(columns: Sequence[tuple[str, Sequence[np.ndarray]]]) -> np.ndarray:
    """Lay out columns of panels with captions, on black."""
    panels = [[_shrink(panel) for panel in column] for _, column in columns]
    heights = [row[0].shape[0] + _GAP for row in zip(*panels, strict=True)]
    widths = [max(panel.shape[1] for panel in column) + _GAP for column in panels]
    picture = np.zeros((_CAPTION_HEIGHT + sum(heights), sum(widths), 3), np.uint8)
    left = 0
    for (caption, _), column, width in zip(columns, panels, widths, strict=True):
        position = (left + 2, _CAPTION_HEIGHT - 6)
        cv2.putText(picture, caption, position, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
        top = _CAPTION_HEIGHT
        for panel, height in zip(column, heights, strict=True):
            picture[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
            top += height
        left += width
    return picture


def _shrink(panel: np.ndarray) -> np.ndarray:
    height, width = panel.shape[:2]
    if height <= TALLEST:
        return panel
    size = (max(1, round(width * TALLEST / height)), TALLEST)
    return cv2.resize(np.ascontiguousarray(panel), size, interpolation=cv2.INTER_AREA)
