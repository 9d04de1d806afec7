"""Shapes that readers draw, in pixels of a picture."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from medmask.annotation.pixel_map import Box, Points, bounds
from medmask.errors import InputError
from medmask.utils.counts import counted

_FARTHEST = 1e6  # pixels
_CORNERS_OF_ELLIPSE = 64


@dataclass(frozen=True)
class Shape:
    """A lesion that a reader has marked, or left as it was proposed.

    Attributes:
        label: name of its class.
        box: corners in pixels of the picture.
        polygons: its outline, (V, 2) x and y in pixels of the picture each; none if it is a box.
    """

    label: str
    box: Box
    polygons: tuple[Points, ...] = ()


def numbers(values: Any, count: int | None = None) -> list[float]:
    """Read finite numbers, or texts of them.

    Args:
        values: a list.
        count: how many there must be; None for any.

    Raises:
        InputError: it is none, or a number is far from any image.
    """
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        found = []
    is_list = isinstance(values, list | tuple) and len(found) == len(values)
    if not is_list or (count is not None and len(found) != count):
        raise InputError(f"its coordinates are not {count or 'a list of'} numbers")
    if not all(math.isfinite(value) and abs(value) <= _FARTHEST for value in found):
        raise InputError("its coordinates are not finite, or far from any image")
    return found


def box_shape(label: str, corners: Any) -> Shape:
    """Make a shape of two opposite corners [x, y, x, y].

    Raises:
        InputError: they enclose nothing.
    """
    box = bounds(np.array(numbers(corners, 4)).reshape(2, 2))
    _check_area(box)
    return Shape(label, box)


def polygon_shape(label: str, outlines: list[Any]) -> Shape:
    """Make a shape of one or several polygons.

    Args:
        label: name of its class.
        outlines: [x, y, x, y, ...] each.

    Raises:
        InputError: one of them has less than three corners, or they enclose nothing.
    """
    polygons = []
    for outline in outlines:
        values = numbers(outline)
        if len(values) < 6 or len(values) % 2:
            raise InputError("a polygon has less than three corners")
        polygons.append(np.array(values).reshape(-1, 2))
    if not polygons:
        raise InputError("its outline is empty")
    box = bounds(np.concatenate(polygons))
    _check_area(box)
    return Shape(label, box, tuple(polygons))


def rotated_box_shape(
    label: str, corners: Any, degrees: float, pivot: tuple[float, float]
) -> Shape:
    """Make a polygon of a box that is turned.

    Args:
        label: name of its class.
        corners: [x, y, x, y] before the turn.
        degrees: of the turn, clockwise as seen on the screen.
        pivot: (x, y) that it turns about.

    Raises:
        InputError: it has no area, or its numbers are none.
    """
    x0, y0, x1, y1 = numbers(corners, 4)
    points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) - pivot
    return polygon_shape(label, [(_turn(points, degrees) + pivot).ravel().tolist()])


def turned_box_shape(
    label: str,
    corners: list[float],
    degrees: float,
    *,
    image: str,
    notes: list[str],
    pivot: tuple[float, float] | None = None,
) -> Shape:
    """Make a box, or a polygon of one that is turned, which a note tells.

    Args:
        label: name of its class.
        corners: [x, y, x, y] before the turn.
        degrees: of the turn, clockwise as seen on the screen.
        image: name of the picture, for the note.
        notes: sentences, to which one may be added.
        pivot: (x, y) that it turns about; its center if None.

    Raises:
        InputError: it has no area.
    """
    if not degrees % 360:
        return box_shape(label, corners)
    notes.append(
        f"image {image}: a box that is turned by {counted(degrees, 'degree')} became a polygon"
    )
    x0, y0, x1, y1 = corners
    return rotated_box_shape(label, corners, degrees, pivot or ((x0 + x1) / 2, (y0 + y1) / 2))


def ellipse_shape(
    label: str, center: tuple[float, float], radii: tuple[float, float], degrees: float
) -> Shape:
    """Make a polygon of an ellipse.

    Args:
        label: name of its class.
        center: (x, y).
        radii: along x and y before the turn.
        degrees: of the turn about its center, clockwise as seen on the screen.

    Raises:
        InputError: it has no area, or its numbers are none.
    """
    x, y, along_x, along_y = numbers([*center, *radii], 4)
    angles = np.arange(_CORNERS_OF_ELLIPSE) * (2 * math.pi / _CORNERS_OF_ELLIPSE)
    points = np.stack((along_x * np.cos(angles), along_y * np.sin(angles)), axis=1)
    return polygon_shape(label, [(_turn(points, degrees) + np.array((x, y))).ravel().tolist()])


def clip_polygon(points: Points, width: float, height: float) -> Points:
    """Cut a polygon to an image, half-plane by half-plane (Sutherland and Hodgman, 1974).

    Returns:
        (V, 2), empty where nothing of it is inside.
    """
    for axis, limit, sign in ((0, 0.0, 1), (1, 0.0, 1), (0, width, -1), (1, height, -1)):
        inside = sign * (points[:, axis] - limit)
        kept: list[np.ndarray] = []
        for i in range(len(points)):  # the edge from the corner before to this one
            here, before = inside[i], inside[i - 1]
            if (here >= 0) != (before >= 0):
                kept.append(points[i - 1] + (points[i] - points[i - 1]) * before / (before - here))
            if here >= 0:
                kept.append(points[i])
        points = np.array(kept).reshape(-1, 2)
    return points


def _turn(points: Points, degrees: float) -> Points:
    """Turn points about the origin, clockwise where y points down."""
    (degrees,) = numbers([degrees], 1)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([(cosine, sine), (-sine, cosine)])


def has_area(box: Box) -> bool:
    return box[0] < box[2] and box[1] < box[3]


def _check_area(box: Box) -> None:
    if not has_area(box):
        raise InputError("it has no area")
