"""Regions that were drawn with the VGG Image Annotator (VIA), as its CSV export describes them."""

import json
import math
from typing import Any

import numpy as np

from medmask.converters.regions import has_area

_POINTS_OF_ELLIPSE = 64
_FARTHEST = 1e6  # pixels


def read_outline(text: str) -> np.ndarray | None:
    """Read the shape of a region.

    Polygons and polylines keep their corners; a polyline is closed. Circles and ellipses become
    polygons of 64 corners.

    Args:
        text: JSON, such as ``{"name": "circle", "cx": 10, "cy": 20, "r": 5}``.

    Returns:
        (N, 2) float x, y in pixels. None for a point or a line, which has no area, and for ``{}``,
        which VIA writes for an image without regions.

    Raises:
        ValueError: the text is anything else.
    """
    try:
        shape = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(shape, dict):
        raise ValueError("it is not an object")
    match shape.get("name"):
        case None if not shape:
            return None
        case "point":
            return None
        case "polygon" | "polyline":
            outline = np.stack(
                [_numbers(shape, "all_points_x"), _numbers(shape, "all_points_y")], 1
            )
        case "circle":
            radius = _number(shape, "r")
            outline = _ellipse(shape, radius, radius)
        case "ellipse":
            outline = _ellipse(shape, _number(shape, "rx"), _number(shape, "ry"))
        case "rect":
            outline = _rectangle(shape)
        case name:
            raise ValueError(f"it is a {name!r}, which is no shape of VIA")
    return outline if has_area(outline) else None


def _ellipse(shape: dict, rx: float, ry: float) -> np.ndarray:
    angles = np.arange(_POINTS_OF_ELLIPSE) * (2 * math.pi / _POINTS_OF_ELLIPSE)
    x, y = rx * np.cos(angles), ry * np.sin(angles)
    theta = _number(shape, "theta") if "theta" in shape else 0.0  # radians, clockwise as y is down
    center = _number(shape, "cx"), _number(shape, "cy")
    turned = np.stack(
        [x * math.cos(theta) - y * math.sin(theta), x * math.sin(theta) + y * math.cos(theta)], 1
    )
    return turned + center


def _rectangle(shape: dict) -> np.ndarray:
    x, y = _number(shape, "x"), _number(shape, "y")
    right, bottom = x + _number(shape, "width"), y + _number(shape, "height")
    return np.array([(x, y), (right, y), (right, bottom), (x, bottom)])


def _number(shape: dict, key: str) -> float:
    return float(_finite([shape.get(key)])[0])


def _numbers(shape: dict, key: str) -> np.ndarray:
    values = shape.get(key)
    if not isinstance(values, list) or not values:
        raise ValueError(f"its {key} is not a list of numbers")
    return _finite(values)


def _finite(values: list[Any]) -> np.ndarray:
    if not all(type(value) in (int, float) for value in values):
        raise ValueError("it has a coordinate that is not a number")
    if not all(abs(value) <= _FARTHEST for value in values):
        raise ValueError("it has a coordinate that is not finite, or far from any image")
    return np.array(values, np.float64)
