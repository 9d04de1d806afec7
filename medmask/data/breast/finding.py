"""Finding the breast in a mammogram: film or digital, either side, any view.

The breast is the largest thick thing that is brighter than the background. All is done on a small
copy:

1. Otsu's threshold parts bright from dark; the median of the dark is the background.
2. All that is visibly above the background is a candidate: skin is far darker than the threshold.
3. An opening takes what is thin away: film edges, scanner frames, the bridges to labels.
4. The largest piece is the breast, and grows back by what the opening took from its own outline.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_SIDE = 256
"""Pixels of the long side of the small copy."""
_SUBSAMPLED_SIDE = 4 * _SIDE
"""Larger images are thinned out to about this before they are averaged, which costs less."""
_SKIN_SHARE = 0.12
"""Of the way from the background to Otsu's threshold: where the skin begins."""
_OPENING = 0.045
"""Diameter, as a share of the long side, of what is too thin to be the breast."""
_LEAST_SHARE = 0.02
"""Of the image: a smaller piece is not the breast."""


@dataclass(frozen=True)
class Breast:
    """A breast in an image.

    Attributes:
        mask: (h, w) bool, on a copy of the image of at most 256 x 256 pixels.
        pixels: (h, w) float32: that copy, in the gray levels of the image.
        image_size: (height, width) of the image.
    """

    mask: np.ndarray
    pixels: np.ndarray
    image_size: tuple[int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The least box (x0, y0, x1, y1) around it, in whole pixels of the image."""
        (height, width), (rows, columns) = self.image_size, self.mask.shape
        y0, y1 = _extent(np.any(self.mask, axis=1))
        x0, x1 = _extent(np.any(self.mask, axis=0))
        return (
            x0 * width // columns,
            y0 * height // rows,
            -(-x1 * width // columns),
            -(-y1 * height // rows),
        )

    def box_with_margin(self, margin: float) -> tuple[int, int, int, int]:
        """The box, widened on each side as far as the image goes.

        Args:
            margin: as a share of the longer side of the box.
        """
        height, width = self.image_size
        x0, y0, x1, y1 = self.box
        pixels = round(margin * max(x1 - x0, y1 - y0))
        return (
            max(x0 - pixels, 0),
            max(y0 - pixels, 0),
            min(x1 + pixels, width),
            min(y1 + pixels, height),
        )


def find_breast(image: np.ndarray) -> Breast | None:
    """Find the breast.

    Args:
        image: (H, W) gray or (H, W, 3), of which the first channel counts; of any real type and
            range, larger is brighter. NaN is background.

    Returns:
        The breast, or None where nothing in the image looks like one.
    """
    small = _small_copy(image)
    candidates = _above_background(_to_bytes(small))
    if candidates is None:
        return None
    mask = _largest_thick_piece(candidates)
    return None if mask is None else Breast(mask, small, image.shape[:2])


def _small_copy(image: np.ndarray) -> np.ndarray:
    """(h, w) float32, of at most 256 x 256 pixels; the background where the image has none."""
    plane = image if image.ndim == 2 else image[..., 0]
    step = max(max(plane.shape) // _SUBSAMPLED_SIDE, 1)
    plane = plane[::step, ::step].astype(np.float32)
    is_pixel = np.isfinite(plane)
    if not is_pixel.all():
        background = plane[is_pixel].min() if is_pixel.any() else np.float32(0)
        plane = np.where(is_pixel, plane, background)
    scale = min(_SIDE / max(plane.shape), 1)
    size = [max(round(side * scale), 1) for side in plane.shape[::-1]]
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def _to_bytes(small: np.ndarray) -> np.ndarray:
    """(h, w) uint8, without noise: from the least to almost the greatest value of (h, w)."""
    low, high = np.percentile(small, (0, 99.5))
    if high <= low:
        return np.zeros(small.shape, np.uint8)
    levels = np.clip((small - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    return cv2.medianBlur(levels, 3)


def _above_background(small: np.ndarray) -> np.ndarray | None:
    """(h, w) uint8, 1 where there is more than background."""
    otsu, _ = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = small[small <= otsu]
    if dark.size in (0, small.size):
        return None
    background = float(np.median(dark))
    skin = background + _SKIN_SHARE * (otsu - background)
    return (small > skin).astype(np.uint8)


def _largest_thick_piece(candidates: np.ndarray) -> np.ndarray | None:
    """(h, w) bool: the largest piece without what hangs on it by a thread."""
    diameter = 2 * round(_OPENING * max(candidates.shape) / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    # beyond the border the breast goes on, and a frame along it does not
    thick = cv2.morphologyEx(candidates, cv2.MORPH_OPEN, kernel)
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(thick, connectivity=4)
    if count < 2:
        return None
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if areas.max() < _LEAST_SHARE * candidates.size:
        return None
    piece = (pieces == 1 + int(areas.argmax())).astype(np.uint8)
    grown = cv2.dilate(piece, kernel) & candidates
    return grown.astype(bool)


def _extent(occupied: np.ndarray) -> tuple[int, int]:
    """First index, and last + 1, of what is true in (n,) bool."""
    (indices,) = np.nonzero(occupied)
    return int(indices[0]), int(indices[-1]) + 1
