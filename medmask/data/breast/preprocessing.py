"""Cropping to the breast and giving it one range of gray levels, alike in training and testing."""

import functools
from collections.abc import Iterator

import detectron2.data.transforms as T
import numpy as np

from medmask.data.breast.finding import Breast, find_breast
from medmask.errors import InputError

MARGIN = 0.03
WINDOW_LEVELS = (96.0, 144.0)
"""The gray levels of the breast's lower and upper quartile; full contrast is five times that."""
_LEAST_SPREAD = 0.02
"""The quartiles count as this far apart, of the way from the darkest pixel to the upper one."""


class BreastPreprocessing(T.Augmentation):
    """Crop to the breast, set its window, or both; nothing is drawn at random.

    The window maps the quartiles of the breast's own pixels to 96 and 144, linearly, and clips to
    [0, 255]: films, and digital images of any depth and linear scale, come out alike, for neither
    the background nor labels count. Quartiles lie in the tissue, where the first and the last
    percents are the skin, the muscle or calcifications. They are those of a copy of at most 256
    pixels, so that an image and its reduced copies have one window.

    An image in which no breast is found is left as it is.

    Args:
        crop: crop to the breast and the margin around it.
        window: set the window; the image becomes float32.
        margin: on each side, as a share of the longer side of the breast; as far as the image goes.

    Raises:
        InputError: the margin is negative or not finite.
    """

    def __init__(self, *, crop: bool, window: bool, margin: float = MARGIN) -> None:
        super().__init__()
        if not 0 <= margin < float("inf"):
            raise InputError(f"the margin of the breast crop is {margin}, but must be at least 0")
        self.crop = crop
        self.window = window
        self.margin = margin

    def get_transform(self, image: np.ndarray) -> T.TransformList:
        """Find the breast in an (H, W, 3) image, of which the first channel counts."""
        breast = find_breast(image)
        transforms: list[T.Transform] = []
        if breast is not None:
            if self.crop:
                transforms.append(_crop(breast, self.margin))
            if self.window:
                transforms.append(_window(breast))
        return T.TransformList(transforms)


def sets_window(augmentation: T.Augmentation) -> bool:
    """Tell whether an augmentation sets the window of the breast.

    If so, the window that a DICOM file brings must not come before it: that differs from scanner to
    scanner, and images that were converted to PNG have none.
    """
    return any(step.window for step in _breast_steps(augmentation))


def crops_to_breast(augmentation: T.Augmentation) -> bool:
    """Tell whether an augmentation crops to the breast."""
    return any(step.crop for step in _breast_steps(augmentation))


def _breast_steps(augmentation: T.Augmentation) -> Iterator[BreastPreprocessing]:
    """Find the steps that look for the breast, in lists of lists of augmentations."""
    if isinstance(augmentation, BreastPreprocessing):
        yield augmentation
    for step in getattr(augmentation, "augs", ()):
        yield from _breast_steps(step)


def _crop(breast: Breast, margin: float) -> T.CropTransform:
    height, width = breast.image_size
    x0, y0, x1, y1 = breast.box_with_margin(margin)
    return T.CropTransform(x0, y0, x1 - x0, y1 - y0, width, height)


def _window(breast: Breast) -> T.Transform:
    """The window; none for a breast that is as dark as the background."""
    lower, upper = np.percentile(breast.pixels[breast.mask], (25, 75)).tolist()
    spread = max(upper - lower, _LEAST_SPREAD * (upper - float(breast.pixels.min())))
    if spread <= 0:
        return T.NoOpTransform()
    scale = (WINDOW_LEVELS[1] - WINDOW_LEVELS[0]) / spread
    return T.ColorTransform(
        functools.partial(_apply_window, scale=scale, offset=WINDOW_LEVELS[0] - scale * lower)
    )


def _apply_window(image: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """(H, W, 3) of any type -> float32: ``scale`` times the pixels plus ``offset``, clipped."""
    if image.dtype == np.uint8:
        levels = np.arange(256, dtype=np.float64) * scale + offset
        return np.clip(levels, 0, 255).astype(np.float32)[image]
    pixels = image.astype(np.float32)
    pixels *= np.float32(scale)
    pixels += np.float32(offset)
    return np.clip(pixels, 0, 255, out=pixels)
