"""The places of findings in the two views of a breast.

A point keeps about the same distance from the nipple in the CC and in the MLO view, by which
radiologists match findings between views (the arc method). Its position on that arc is free.
"""

import math

import numpy as np

from medmask.phantom.anatomy import Layout
from medmask.phantom.geometry import draw_geometry
from medmask.phantom.grid import Grid

_SPACING_MM = 2.0  # places do not depend on the image's resolution
_NIPPLE_DISTANCE_TOLERANCE_MM = 8.0
_GAP_MM = 2.0  # between findings, and to skin, muscle and the image's edges
_ATTEMPTS = 20
_AXILLA_HEIGHT_MM = 90.0  # of the top of the MLO view
_AXILLA_REACH_MM = 35.0  # from the edge of the pectoral muscle

Point = tuple[float, float]


class _View:
    """One view on a coarse grid: distances to the nipple and to the obstacles of findings."""

    def __init__(self, layout: Layout, image: Grid):
        height, width = (math.floor(side * image.spacing / _SPACING_MM) for side in image.shape)
        geometry = draw_geometry(layout, Grid(height, width, _SPACING_MM))
        self.x, self.y = geometry.grid.coordinates
        self.nipple_distance = self._distance_to(geometry.nipple)
        bottom = geometry.grid.height_mm - self.y
        self.off_muscle = geometry.muscle_distance
        self.depth = self.y - layout.top
        obstacles = (geometry.skin_distance, geometry.muscle_distance, self.x, self.y, bottom)
        self.clearance = np.minimum.reduce(obstacles)

    def occupy(self, pixel: int, reach: float) -> Point:
        """Take a place; returns its center in millimeters."""
        center = float(self.x.flat[pixel]), float(self.y.flat[pixel])
        self.clearance = np.minimum(self.clearance, self._distance_to(center) - reach)
        return center

    def _distance_to(self, point: Point) -> np.ndarray:
        return np.hypot(self.x - point[0], self.y - point[1])


class Placement:
    """Hands out places in one breast that overlap neither each other nor skin nor muscle.

    Args:
        cc: the breast's CC view.
        mlo: the breast's MLO view.
        image: the grid of the images.
    """

    def __init__(self, cc: Layout, mlo: Layout, image: Grid) -> None:
        self._cc = _View(cc, image)
        self._mlo = _View(mlo, image)

    def place(self, reach: float, random: np.random.Generator) -> tuple[Point, Point] | None:
        """Find a place for something that extends ``reach`` millimeters about its center.

        Returns:
            The centers (x, y) in millimeters in the CC and in the MLO view, or None if no place was
            found.
        """
        cc, mlo = self._cc, self._mlo
        candidates = np.flatnonzero(cc.clearance > reach + _GAP_MM)
        if not candidates.size:
            return None
        for pixel in random.choice(candidates, _ATTEMPTS):
            off_arc = np.abs(mlo.nipple_distance - cc.nipple_distance.flat[pixel])
            free = mlo.clearance > reach + _GAP_MM
            matches = np.flatnonzero(free & (off_arc < _NIPPLE_DISTANCE_TOLERANCE_MM))
            if matches.size:
                return cc.occupy(pixel, reach), mlo.occupy(random.choice(matches), reach)
        return None

    def place_in_axilla(self, reach: float, random: np.random.Generator) -> Point | None:
        """Find a place beside the pectoral muscle, high in the MLO view, which alone shows it."""
        mlo = self._mlo
        near = (mlo.depth < _AXILLA_HEIGHT_MM) & (mlo.off_muscle < _AXILLA_REACH_MM)
        candidates = np.flatnonzero(near & (mlo.clearance > reach + _GAP_MM))
        if not candidates.size:
            return None
        return mlo.occupy(random.choice(candidates), reach)
