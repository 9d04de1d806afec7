"""Regions of an original image on the pixels of an augmented one.

A pixel is in a region if its center is. Nothing is drawn on the original image and resized
afterwards, so that a region is as sharp as the pixels of the result, whatever was cropped,
mirrored, resized or turned.
"""

import math

import numpy as np

Points = np.ndarray
"""(P, 2) float64, x and y in pixels from an image's upper left corner"""


class Canvas:
    """The pixels of an augmented image.

    Args:
        to_original: (2, 3), which takes a point (x, y, 1) of this image to the original one.
        size: (height, width) of this image.
    """

    def __init__(self, to_original: np.ndarray, size: tuple[int, int]) -> None:
        self.size = size
        self._to_original = np.asarray(to_original, dtype=np.float64)
        self._from_original = np.linalg.inv(np.vstack((self._to_original, (0, 0, 1))))[:2]

    def polygon(self, corners: Points) -> np.ndarray:
        """Fill a polygon of the original image, by the even-odd rule: (H, W) bool.

        Pixels are inside that have an odd number of its edges to their left.
        """
        mask = np.zeros(self.size, dtype=bool)
        starts = _transform(corners, self._from_original)
        rows, columns = self._window(starts)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if not height or not width:
            return mask
        ends = np.roll(starts, -1, axis=0)
        y = np.arange(rows.start, rows.stop)[:, None] + 0.5  # (h, 1), against (E,) edges
        row, edge = np.nonzero((starts[:, 1] <= y) != (ends[:, 1] <= y))
        (x0, y0), (x1, y1) = starts[edge].T, ends[edge].T
        x = x0 + (y[row, 0] - y0) / (y1 - y0) * (x1 - x0)
        first = np.ceil(x - 0.5).astype(np.int64) - columns.start  # center that is not left of it
        crossings = np.zeros((height, width + 1), dtype=np.int64)
        np.add.at(crossings, (row, first.clip(0, width)), 1)
        mask[rows, columns] = crossings[:, :width].cumsum(axis=1) % 2 == 1
        return mask

    def bitmap(self, bitmap: np.ndarray) -> np.ndarray:
        """Look up an (H', W') bool map of the original image: (H, W) bool."""
        mask = np.zeros(self.size, dtype=bool)
        on_rows, on_columns = (np.flatnonzero(bitmap.any(axis=axis)) for axis in (1, 0))
        if not len(on_rows):
            return mask
        top, left, bottom, right = on_rows[0], on_columns[0], on_rows[-1] + 1, on_columns[-1] + 1
        window = self._window_of_box((left, top, right, bottom))
        index = np.floor(self._centers(window)).astype(np.int64)  # (h, w, 2)
        x, y = index[..., 0], index[..., 1]
        height, width = bitmap.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        mask[window] = inside & bitmap[y.clip(0, height - 1), x.clip(0, width - 1)]
        return mask

    def box(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """Fill a box (x0, y0, x1, y1) of the original image: (H, W) bool."""
        x0, y0, x1, y1 = box
        return self.polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))

    def ellipse(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """Fill the ellipse that a box (x0, y0, x1, y1) of the original bounds: (H, W) bool."""
        x0, y0, x1, y1 = box
        mask = np.zeros(self.size, dtype=bool)
        window = self._window_of_box(box)
        center, radii = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0]) / 2
        mask[window] = (((self._centers(window) - center) / radii) ** 2).sum(axis=-1) <= 1
        return mask

    def _centers(self, window: tuple[slice, slice]) -> Points:
        """Centers of the pixels of a window, in the original image: (h, w, 2)."""
        rows, columns = (np.arange(side.start, side.stop) + 0.5 for side in window)
        centers = np.stack(np.meshgrid(columns, rows), axis=-1)
        return _transform(centers, self._to_original)

    def _window_of_box(self, box: tuple[float, float, float, float]) -> tuple[slice, slice]:
        x0, y0, x1, y1 = box
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)
        return self._window(_transform(corners, self._from_original))

    def _window(self, points: Points) -> tuple[slice, slice]:
        """Rows and columns of this image that points (P, 2) of it bound."""
        sides = []
        for values, length in zip(points.T[::-1], self.size, strict=True):
            first = min(max(math.floor(values.min()), 0), length)
            sides.append(slice(first, max(min(math.ceil(values.max()), length), first)))
        return sides[0], sides[1]


def _transform(points: Points, matrix: np.ndarray) -> Points:
    return points @ matrix[:, :2].T + matrix[:, 2]
