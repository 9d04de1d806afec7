"""The check of the outlines of a whole annotation file, which finds all faulty ones at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from medmask.coco import CocoTables
from medmask.data.outlines.reading import Outline, read_outline
from medmask.errors import InputError

_TOLERANCE = 1.0
"""pixels beyond the image, as rounding gives"""


def outline_problems(tables: CocoTables) -> Iterator[str]:
    """Find the outlines that cannot be read, are empty, or lie outside of their image.

    Annotations without an outline have no problem, nor do those of images of unknown size, which
    are a problem of their own.

    Args:
        tables: the content of an annotation file.

    Yields:
        One sentence for each annotation.
    """
    table = tables.annotations
    for row, segmentation in enumerate(table.segmentations):
        if segmentation is None or not np.isfinite(table.image_sizes[row]).all():
            continue
        width, height = map(int, table.image_sizes[row])
        fault = _fault(segmentation, (height, width))
        if fault is not None:
            yield f"{table.label(row)}: its segmentation is faulty: {fault}"


def _fault(segmentation: Any, image_size: tuple[int, int]) -> str | None:
    try:
        outline = read_outline({"segmentation": segmentation}, image_size)
    except InputError as error:
        return str(error)
    if outline.bitmap is not None:
        return None if outline.bitmap.any() else "its run lengths mark no pixel"
    return _fault_of_polygons(outline, np.array(image_size[::-1]))


def _fault_of_polygons(outline: Outline, far_corner: np.ndarray) -> str | None:
    for polygon in outline.polygons:
        if (polygon < -_TOLERANCE).any() or (polygon > far_corner + _TOLERANCE).any():
            width, height = far_corner
            return (
                f"a polygon of it reaches from {_point(polygon.min(axis=0))} to "
                f"{_point(polygon.max(axis=0))}, out of its image of {width} x {height} (width x "
                "height)"
            )
    has_area = any(np.ptp(polygon, axis=0).min() > 0 for polygon in outline.polygons)
    return None if has_area else "it has no area"


def _point(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{number:g}" for number in point) + ")"
