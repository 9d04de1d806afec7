"""The check of the outlines of a whole annotation file, which finds all faulty ones at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from medmask.coco import CocoTables
from medmask.data.outlines.reading import Outline, read_outline
from medmask.errors import InputError

_TOLERANCE = 1.0
"""pixels beyond the image, as rounding gives"""
_LEAST_OVERLAP = 0.3
"""IoU of a box and of the box around its outline; a scale of two leaves 0.25"""
_MARGIN = 4.0
"""pixels at each side of an outline that a box may have whatever is left of the IoU"""


def outline_problems(tables: CocoTables) -> Iterator[str]:
    """Find outlines that cannot be read, are empty, or lie elsewhere than their image or box.

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
        fault = _fault(segmentation, (height, width), table.boxes[row])
        if fault is not None:
            yield f"{table.label(row)}: its segmentation is faulty: {fault}"


def _fault(segmentation: Any, image_size: tuple[int, int], box: np.ndarray) -> str | None:
    try:
        outline = read_outline({"segmentation": segmentation}, image_size)
    except InputError as error:
        return str(error)
    if outline.bitmap is not None:
        if not outline.bitmap.any():
            return "its run lengths mark no pixel"
    else:
        fault = _fault_of_polygons(outline, np.array(image_size[::-1]))
        if fault is not None:
            return fault
    return _fault_of_place(_extent(outline), box)


def _fault_of_polygons(outline: Outline, far_corner: np.ndarray) -> str | None:
    for polygon in outline.polygons:
        if (polygon < -_TOLERANCE).any() or (polygon > far_corner + _TOLERANCE).any():
            width, height = far_corner
            return (
                f"a polygon of it reaches {_span(polygon.min(axis=0), polygon.max(axis=0))}, out "
                f"of its image of {width} x {height} (width x height)"
            )
    has_area = any(np.ptp(polygon, axis=0).min() > 0 for polygon in outline.polygons)
    return None if has_area else "it has no area"


def _extent(outline: Outline) -> np.ndarray:
    """The box around an outline: (4,) corners (x0, y0, x1, y1) in pixels."""
    if outline.bitmap is None:
        points = np.concatenate(outline.polygons)
        return np.concatenate([points.min(axis=0), points.max(axis=0)])
    rows, columns = (np.flatnonzero(outline.bitmap.any(axis=axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)


def _fault_of_place(extent: np.ndarray, box: np.ndarray) -> str | None:
    """Compare with a box (x, y, width, height)."""
    first, sides = box[:2], box[2:]
    if not np.isfinite(box).all() or sides.min() <= 0:
        return None  # a problem of its own
    last = first + sides
    both = np.minimum(extent[2:], last) - np.maximum(extent[:2], first)
    shared = both.clip(min=0).prod()
    overlap = shared / (np.prod(extent[2:] - extent[:2]) + sides.prod() - shared)
    distances = np.abs(extent - np.concatenate([first, last]))
    if overlap >= _LEAST_OVERLAP or (distances <= _MARGIN).all():
        return None
    return (
        f"it reaches {_span(extent[:2], extent[2:])}, but the box {_span(first, last)}: "
        "one of them is of another lesion or another scale; correct it"
    )


def _span(first: np.ndarray, last: np.ndarray) -> str:
    return f"from {_point(first)} to {_point(last)}"


def _point(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{number:g}" for number in point) + ")"
