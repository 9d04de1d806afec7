"""What readers have drawn, whatever the tool: shapes on pictures that were looked at or not."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from medmask.annotation.pixel_map import Box, Points, bounds
from medmask.errors import InputError

_FARTHEST = 1e6  # pixels


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


@dataclass(frozen=True)
class ReaderImage:
    """A picture in a file of annotations.

    Attributes:
        name: of the picture, as the file has it, without folder and suffix.
        is_reviewed: whether a reader has said to be done with it; shapes of one that is not may be
            proposals that nobody has looked at.
        shapes: on it.
        size: (width, height) in pixels that the file tells; None if it tells none.
        problem: a sentence, if the annotations cannot be taken over; there are no shapes then.
    """

    name: str
    is_reviewed: bool
    shapes: tuple[Shape, ...] = ()
    size: tuple[int, int] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ReaderAnnotations:
    """The content of a file of annotations.

    Attributes:
        images: each once.
        notes: one sentence for each thing that was taken over in another form.
    """

    images: tuple[ReaderImage, ...]
    notes: tuple[str, ...] = ()


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
    except (TypeError, ValueError):
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
    """
    x0, y0, x1, y1 = numbers(corners, 4)
    points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) - pivot
    angle = math.radians(degrees)
    # y points down: this turns clockwise
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    return polygon_shape(label, [(points @ turn + pivot).ravel().tolist()])


def _check_area(box: Box) -> None:
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError("it has no area")
