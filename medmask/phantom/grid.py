"""The image plane in millimeters, so that anatomy is written once for every image size."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FIELD_WIDTH_MM = 180.0
FIELD_HEIGHT_MM = 240.0


@dataclass(frozen=True)
class Grid:
    """A rectangle of pixels in the plane of the detector.

    The breast's chest wall is at x = 0; x grows towards the nipple and y downwards.

    Attributes:
        height: rows.
        width: columns.
        spacing: millimeters per pixel, in both directions.
        row: of its first pixel in the whole image.
        column: of its first pixel in the whole image.
    """

    height: int
    width: int
    spacing: float
    row: int = 0
    column: int = 0

    @classmethod
    def of_image(cls, height: int, width: int) -> "Grid":
        """The grid of an image that shows a mammography field of 180 x 240 mm.

        The spacing is the smallest that shows the whole field: an image of another aspect ratio has
        empty detector beside the breast, or above and below it.
        """
        return cls(height, width, max(FIELD_WIDTH_MM / width, FIELD_HEIGHT_MM / height))

    def window(self, center: tuple[float, float], reach: float) -> "Grid":
        """The part of this grid within ``reach`` millimeters of a point, clipped to this grid."""
        column, row = (position / self.spacing for position in center)
        extent = reach / self.spacing
        top, left = (max(math.floor(at - extent), 0) for at in (row, column))
        bottom = min(math.ceil(row + extent) + 1, self.height)
        right = min(math.ceil(column + extent) + 1, self.width)
        return Grid(bottom - top, right - left, self.spacing, top, left)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), as numpy has it."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of this grid in an array of the whole image."""
        return (
            slice(self.row, self.row + self.height),
            slice(self.column, self.column + self.width),
        )

    @property
    def height_mm(self) -> float:
        return self.height * self.spacing

    @cached_property
    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixel centers in millimeters: x and y, each (H, W) float32."""
        x = (np.arange(self.column, self.column + self.width) + 0.5) * self.spacing
        y = (np.arange(self.row, self.row + self.height) + 0.5) * self.spacing
        x, y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        return x, y

    def pixels(self, millimeters: float) -> float:
        """A length in pixels."""
        return millimeters / self.spacing
