"""Reading of an annotation's ``segmentation``: polygons, or a bitmap in run lengths."""

from typing import Any, NamedTuple

import numpy as np

from medmask.coco import decode_mask
from medmask.errors import InputError

_LEAST_NUMBERS = 6
"""of a polygon: x and y of three corners"""
_FARTHEST = 1e6
"""pixels"""


class Outline(NamedTuple):
    """The region of an annotation, in pixels of the original image; one of both is empty."""

    polygons: tuple[np.ndarray, ...]
    """(V, 2) corners (x, y) each; the region is their union"""
    bitmap: np.ndarray | None
    """(H, W) bool"""


def has_outline(annotation: dict[str, Any]) -> bool:
    """Tell whether an annotation has more than a box; its outline may still be faulty."""
    return bool(annotation.get("segmentation"))


def read_outline(annotation: dict[str, Any], image_size: tuple[int, int]) -> Outline:
    """Read the outline of an annotation that has one.

    Args:
        annotation: of a dataset dict, with COCO's ``segmentation``.
        image_size: (height, width) in pixels.

    Raises:
        InputError: it is faulty.
    """
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict):
        size = segmentation.get("size")
        if size not in (None, list(image_size)):
            raise InputError(
                f"its size is {size}, but the image has (height, width) {list(image_size)}"
            )
        return Outline((), decode_mask(segmentation.get("counts"), image_size))
    if not isinstance(segmentation, list):
        raise InputError(f"it is {type(segmentation).__name__}: give polygons or run lengths")
    return Outline(tuple(_polygon(corners) for corners in segmentation), None)


def _polygon(corners: Any) -> np.ndarray:
    """[x, y, x, y, ...] -> (V, 2).

    Raises:
        InputError: these are no corners.
    """
    is_numbers = isinstance(corners, list) and all(type(x) in (int, float) for x in corners)
    if not is_numbers or len(corners) < _LEAST_NUMBERS or len(corners) % 2:
        raise InputError("a polygon of it is no list of x and y by turns, of three corners or more")
    points = np.array(corners, dtype=np.float64).reshape(-1, 2)
    if not (np.abs(points) <= _FARTHEST).all():
        raise InputError("a polygon of it has a corner that is not finite, or far from any image")
    return points
