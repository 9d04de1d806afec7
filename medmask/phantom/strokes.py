"""Antialiased curves: outlines, vessels, spicules, scratches."""

from collections.abc import Iterable

import cv2
import numpy as np

from medmask.phantom.grid import Grid

SUPERSAMPLING = 2
FRACTION_BITS = 4  # of the fixed-point coordinates that OpenCV draws with


def canvas_points(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Points (N, 2) in millimeters as fixed-point pixels of the grid's supersampled canvas."""
    pixels = np.asarray(points) / grid.spacing - (grid.column, grid.row)
    return np.round((pixels * SUPERSAMPLING - 0.5) * 2**FRACTION_BITS).astype(np.int32)


def new_canvas(grid: Grid) -> np.ndarray:
    """An empty uint8 canvas at the supersampled size."""
    return np.zeros((SUPERSAMPLING * grid.height, SUPERSAMPLING * grid.width), np.uint8)


def reduce_canvas(canvas: np.ndarray, grid: Grid) -> np.ndarray:
    """Average a supersampled canvas to the grid: (H, W) float32 in [0, 1]."""
    small = cv2.resize(canvas, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def draw_strokes(strokes: Iterable[tuple[np.ndarray, float, float]], grid: Grid) -> np.ndarray:
    """Draw curves; where they cross, the brighter wins.

    Args:
        strokes: points (N, 2) in millimeters, width in millimeters and brightness in [0, 1].
            A stroke thinner than a pixel of the canvas is drawn one pixel wide and dimmer.
        grid: the pixels to draw on.

    Returns:
        (H, W) float32 in [0, 1].
    """
    canvas = new_canvas(grid)
    for points, width, brightness in sorted(strokes, key=lambda stroke: stroke[2]):
        pixels = SUPERSAMPLING * grid.pixels(width)
        shade = round(255 * brightness * min(pixels, 1.0))
        thickness = max(round(pixels), 1)
        line = [canvas_points(points, grid)]
        cv2.polylines(canvas, line, False, shade, thickness, cv2.LINE_AA, FRACTION_BITS)
    return reduce_canvas(canvas, grid)


def wandering_path(
    start: np.ndarray, end: np.ndarray, amplitude: float, random: np.random.Generator
) -> np.ndarray:
    """A meandering curve between two points.

    Args:
        start: (2,) as (x, y).
        end: likewise.
        amplitude: how far it strays, relative to its length.
        random: where the numbers come from.

    Returns:
        (60, 2) points.
    """
    at = np.linspace(0, 1, 60)[:, None]
    across = (end - start)[::-1] * (-1, 1)
    path = start + at * (end - start)
    for order in (1, 2, 3, 5):
        path = path + across * random.normal(0, amplitude / order) * np.sin(np.pi * order * at)
    return path
