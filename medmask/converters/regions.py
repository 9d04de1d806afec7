"""Lesions as regions of an image that is written: a box and polygons in its pixels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from medmask.converters.contract import Lesion
from medmask.errors import InputError
from medmask.images import read_image

_DECIMALS = 2  # of coordinates in annotation files
_TOLERANCE = 0.5  # pixels of a mask by which its polygon may differ from its border
_LEAST_WHITE = 0.5  # share of a mask at its highest value; the rest may be smooth edges


@dataclass(frozen=True)
class Region:
    """The place of a lesion.

    Attributes:
        box: (x, y, width, height) in pixels, of positive size and within the image.
        polygons: x and y by turns, as COCO's ``segmentation``; empty if only the box is known.
    """

    box: tuple[float, float, float, float]
    polygons: tuple[tuple[float, ...], ...] = ()


def find_regions(
    lesion: Lesion, source_size: tuple[int, int], size: tuple[int, int]
) -> list[Region]:
    """Find where a lesion lies in the image that is written.

    Args:
        lesion: in pixels of the source image.
        source_size: (height, width) of the source image.
        size: (height, width) of the image that is written.

    Returns:
        One region, or one for each connected part of a mask that is split.

    Raises:
        InputError: nothing of the lesion is within the image, or its mask cannot be read.
    """
    height, width = source_size
    if lesion.mask is not None:
        shapes = _mask_shapes(lesion.mask, lesion.is_split, source_size)
    elif lesion.box is not None:
        shapes = iter([(np.reshape(lesion.box, (2, 2)), lesion.outlines)])
    else:
        shapes = iter([(np.concatenate(lesion.outlines), lesion.outlines)])
    scale = np.array([size[1] / width, size[0] / height])
    limit = np.array([width, height], np.float64)
    return [_to_region(corners, polygons, limit, scale) for corners, polygons in shapes]


def has_area(outline: np.ndarray) -> bool:
    """Tell whether (N, 2) corners span a box with an area; fewer than three never do."""
    return len(outline) >= 3 and bool((np.ptp(outline, axis=0) > 0).all())


def _to_region(
    corners: np.ndarray, polygons: tuple[np.ndarray, ...], limit: np.ndarray, scale: np.ndarray
) -> Region:
    """A region from (N, 2) points whose extent is that of the lesion, and its polygons."""
    near = np.clip(corners.min(axis=0), 0, limit)
    far = np.clip(corners.max(axis=0), 0, limit)
    box = np.concatenate([near * scale, (far - near) * scale]).round(_DECIMALS)
    if not (box[2:] > 0).all():
        raise InputError("a lesion lies outside of the image, or has no area")
    inside = (np.clip(polygon, 0, limit) for polygon in polygons)
    written = tuple(
        tuple((polygon * scale).round(_DECIMALS).ravel().tolist())
        for polygon in inside
        if has_area(polygon)
    )
    x, y, width, height = box.tolist()
    return Region((x, y, width, height), written)


def _mask_shapes(
    path: Path, is_split: bool, source_size: tuple[int, int]
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
    """The corners and polygons of each region of a mask, in pixels of the source image."""
    values = read_image(path)[..., 0]
    mask = (values > 0).astype(np.uint8)
    if not mask.any():
        raise InputError(f"mask {path} is empty")
    if np.count_nonzero(values == values.max()) < _LEAST_WHITE * np.count_nonzero(mask):
        raise InputError(
            f"mask {path} has many gray levels, as a picture of the lesion has; it may have "
            "taken the mask's place, copy the mask again"
        )
    scale = np.array([source_size[1] / mask.shape[1], source_size[0] / mask.shape[0]])
    parts: Iterable[np.ndarray] = [mask]
    if is_split:
        count, labels = cv2.connectedComponents(mask)
        parts = ((labels == label).astype(np.uint8) for label in range(1, count))
    for part in parts:
        x, y, width, height = cv2.boundingRect(part)
        corners = np.array([(x, y), (x + width, y + height)], np.float64)
        yield corners * scale, tuple(polygon * scale for polygon in _outlines(part))


def _outlines(mask: np.ndarray) -> Iterator[np.ndarray]:
    """The outer border of each part, (N, 2), through the centers of its pixels."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        corners = cv2.approxPolyDP(contour, _TOLERANCE, closed=True)[:, 0]
        if len(corners) >= 3:
            yield corners + 0.5
