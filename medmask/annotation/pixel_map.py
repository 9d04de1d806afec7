"""The map between the pixels of a stored image and those that a reader is shown, and back.

A stored image is cropped, turned by quarters, mirrored and resized, in this order. Coordinates are
continuous: (0, 0) is the upper left corner of the upper left pixel, in both images, as in CVAT, in
Label Studio and in this project.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

Points = np.ndarray
"""(P, 2) float64, x and y"""
Box = tuple[float, float, float, float]
"""corners (x0, y0, x1, y1)"""


@dataclass(frozen=True)
class PixelMap:
    """Map between the pixels of a shown image and those of a stored one.

    Attributes:
        crop: (x0, y0, x1, y1) of the stored image that is shown, in whole pixels.
        quarter_turns: of the crop, clockwise, from 0 to 3.
        mirrored: whether left and right are exchanged after that.
        width: of the shown image, in pixels.
        height: likewise.
    """

    crop: tuple[int, int, int, int]
    quarter_turns: int
    mirrored: bool
    width: int
    height: int

    @property
    def turned_size(self) -> tuple[int, int]:
        """(width, height) of the crop after its turns, in stored pixels."""
        x0, y0, x1, y1 = self.crop
        size = (x1 - x0, y1 - y0)
        return size[::-1] if self.quarter_turns % 2 else size

    @property
    def scale(self) -> tuple[float, float]:
        """Shown pixels for each stored one, along the width and the height of the shown image."""
        width, height = self.turned_size
        return self.width / width, self.height / height

    def show(self, image: np.ndarray) -> np.ndarray:
        """Make the shown image of a stored one: (H, W) or (H, W, C) -> of ``height``, ``width``."""
        x0, y0, x1, y1 = self.crop
        shown = np.rot90(image[y0:y1, x0:x1], -self.quarter_turns)
        shown = np.ascontiguousarray(shown[:, ::-1] if self.mirrored else shown)
        if shown.shape[:2] == (self.height, self.width):
            return shown
        return cv2.resize(shown, (self.width, self.height), interpolation=cv2.INTER_AREA)

    def to_shown(self, points: Points) -> Points:
        """Take points of the stored image to the shown one."""
        x0, y0, x1, y1 = self.crop
        x, y = points[:, 0] - x0, points[:, 1] - y0
        width, height = x1 - x0, y1 - y0
        for _ in range(self.quarter_turns):
            x, y = height - y, x
            width, height = height, width
        if self.mirrored:
            x = width - x
        return np.stack((x, y), axis=1) * np.array(self.scale)

    def to_stored(self, points: Points) -> Points:
        """Take points of the shown image to the stored one; the inverse of :meth:`to_shown`."""
        width, height = self.turned_size
        x, y = (points / np.array(self.scale)).T
        if self.mirrored:
            x = width - x
        for _ in range(self.quarter_turns):
            x, y = y, width - x
            width, height = height, width
        return np.stack((x + self.crop[0], y + self.crop[1]), axis=1)

    def box_to_shown(self, box: Box) -> Box:
        return bounds(self.to_shown(_corners(box)))

    def box_to_stored(self, box: Box) -> Box:
        return bounds(self.to_stored(_corners(box)))

    def to_json(self) -> dict[str, Any]:
        """Describe it in JSON values, with the matrix that takes (x, y, 1) of the shown image back.

        The matrix follows from the rest, and is there for programs that know nothing of this one.
        """
        origin, right, down = self.to_stored(np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]))
        matrix = np.stack((right - origin, down - origin, origin), axis=1)
        return {
            "crop": list(self.crop),
            "quarter_turns": self.quarter_turns,
            "mirrored": self.mirrored,
            "scale": list(self.scale),
            "width": self.width,
            "height": self.height,
            "to_stored": matrix.tolist(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "PixelMap":
        """Read what :meth:`to_json` has written.

        Raises:
            KeyError, TypeError, ValueError: it is not that.
        """
        crop, width, height = content["crop"], content["width"], content["height"]
        turns, mirrored = content["quarter_turns"], content["mirrored"]
        x0, y0, x1, y1 = crop
        if any(type(value) is not int for value in (*crop, width, height, turns)):
            raise ValueError("a number that must be whole is not")
        is_box = 0 <= x0 < x1 and 0 <= y0 < y1
        if (
            not is_box
            or min(width, height) < 1
            or not 0 <= turns <= 3
            or type(mirrored) is not bool
        ):
            raise ValueError("a value is out of its range")
        return cls((x0, y0, x1, y1), turns, mirrored, width, height)


def bounds(points: Points) -> Box:
    """The least box around points."""
    x0, y0 = points.min(axis=0).tolist()
    x1, y1 = points.max(axis=0).tolist()
    return x0, y0, x1, y1


def _corners(box: Box) -> Points:
    return np.asarray(box, dtype=np.float64).reshape(2, 2)
