"""A view's layout drawn on pixels: what is breast, how thick it is, what is muscle."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from medmask.phantom.anatomy import BEYOND_MM, Breast, Layout
from medmask.phantom.grid import Grid
from medmask.phantom.strokes import (
    FRACTION_BITS,
    SUPERSAMPLING,
    canvas_points,
    new_canvas,
    reduce_canvas,
)


@dataclass(frozen=True)
class Geometry:
    """One view of a breast on the pixel grid; every array is (H, W) float32.

    Attributes:
        grid: the pixel grid.
        layout: what is drawn.
        coverage: fraction of the pixel that the breast covers, 0 to 1.
        skin_distance: millimeters to the skin line; 0 outside of the breast.
        thickness: millimeters of compressed breast under the pixel.
        muscle: pectoral muscle, 0 to 1.
        muscle_distance: millimeters to the muscle; 0 in it, infinite without one.
    """

    grid: Grid
    layout: Layout
    coverage: np.ndarray
    skin_distance: np.ndarray
    thickness: np.ndarray
    muscle: np.ndarray
    muscle_distance: np.ndarray

    @property
    def breast(self) -> Breast:
        return self.layout.breast

    @property
    def nipple(self) -> tuple[float, float]:
        """(x, y) in millimeters."""
        return self.layout.nipple

    @cached_property
    def duct_coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance (mm) to the point where the ducts meet, and angle (radians) about it."""
        x, y = self.grid.coordinates
        # Ten millimeters outside of the nipple, so that ducts keep some width at the skin.
        dx, dy = self.nipple[0] + 10 - x, y - self.nipple[1]
        return np.hypot(dx, dy), np.arctan2(dy, dx)

    def mirrored(self) -> "Geometry":
        """The arrays of the other side's breast; the layout stays as it is."""
        arrays = ("coverage", "skin_distance", "thickness", "muscle", "muscle_distance")
        return replace(self, **{name: getattr(self, name)[:, ::-1] for name in arrays})


def draw_geometry(layout: Layout, grid: Grid) -> Geometry:
    """Draw a layout on a pixel grid."""
    coverage, skin_distance = _fill_outline(layout.outline, grid)
    # The free edge of a soft body between two plates bulges as a half circle.
    inwards = np.minimum(skin_distance / (0.5 * layout.breast.compression), 1.0)
    thickness = layout.breast.compression * np.sqrt(inwards * (2.0 - inwards))
    muscle, muscle_distance = _pectoral_muscle(layout, grid)
    return Geometry(
        grid, layout, coverage, skin_distance, thickness, muscle * coverage, muscle_distance
    )


def _fill_outline(points: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and the distance to the skin in millimeters, both (H, W)."""
    # Closed far beyond the detector, whose edges are not skin: no distance counts from them.
    closed = np.concatenate([[(-BEYOND_MM, points[0, 1])], points, [(-BEYOND_MM, points[-1, 1])]])
    canvas = new_canvas(grid)
    cv2.fillPoly(canvas, [canvas_points(closed, grid)], 255, cv2.LINE_8, FRACTION_BITS)
    distance = distance_to_background(canvas)
    distance = cv2.resize(distance, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    return reduce_canvas(canvas, grid), distance * (grid.spacing / SUPERSAMPLING)


def distance_to_background(mask: np.ndarray) -> np.ndarray:
    """Distance in pixels of every pixel to the nearest zero of an (H, W) uint8 mask, float32.

    The last bit of OpenCV's transform depends on where the array lies in memory. Squared distances
    between pixels are integers, so rounding them takes that out (up to some 1400 pixels, more than
    where any tissue still looks at the skin).
    """
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.sqrt(np.rint(np.square(distance, dtype=np.float64))).astype(np.float32)


def _pectoral_muscle(layout: Layout, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Density of the muscle, 0 to 1, and the distance to it in millimeters."""
    muscle = layout.muscle
    if muscle is None:
        return np.zeros(grid.shape, np.float32), np.full(grid.shape, np.inf, np.float32)
    x, y = grid.coordinates
    if muscle.center is not None:
        depth = muscle.width * (1 - ((y - muscle.center) / muscle.height) ** 2) - x
    else:
        down = (y - layout.top) / muscle.height
        bulge = 1 + muscle.belly * np.sin(np.pi * np.clip(down, 0, 1))
        depth = muscle.width * (1 - down) * bulge - x
        depth *= math.cos(math.atan2(muscle.width, muscle.height))  # across the slanted edge
    density = 1 / (1 + np.exp(np.clip(-depth / muscle.softness, -30, 30)))
    return density, np.maximum(-depth, 0)
