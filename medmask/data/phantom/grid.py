"""The image plane in millimetres, so that anatomy is written once for every image size."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

FIELD_WIDTH_MM = 180.0
FIELD_HEIGHT_MM = 240.0


@dataclass(frozen=True)
class Grid:
    """Pixels over a mammography field of 180 x 240 mm.

    The pixel spacing is the smallest that shows the whole field, so an image of another aspect ratio
    has empty detector beside or below the breast. The breast's chest wall is at x = 0; x grows
    towards the nipple and y downwards.

    Attributes:
        height: rows of the image.
        width: columns of the image.
    """

    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), as numpy has it."""
        return self.height, self.width

    @property
    def spacing(self) -> float:
        """Millimetres per pixel, in both directions."""
        return max(FIELD_WIDTH_MM / self.width, FIELD_HEIGHT_MM / self.height)

    @property
    def height_mm(self) -> float:
        return self.height * self.spacing

    @property
    def width_mm(self) -> float:
        return self.width * self.spacing

    @cached_property
    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixel centres in millimetres: x and y, each (H, W) float32."""
        x = (np.arange(self.width, dtype=np.float32) + 0.5) * np.float32(self.spacing)
        y = (np.arange(self.height, dtype=np.float32) + 0.5) * np.float32(self.spacing)
        x, y = np.meshgrid(x, y)
        return x, y

    def pixels(self, millimetres: float) -> float:
        """A length in pixels."""
        return millimetres / self.spacing
