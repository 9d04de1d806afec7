"""Gray levels of images: the form that all images are brought into."""

import cv2
import numpy as np

from medmask.errors import InputError

_BLOCK = 2**20  # values that are stretched at a time, to need little memory beside the result


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Bring the pixels of an image into the form of :func:`medmask.images.read_image`.

    What the numbers mean is decided by their type and range alone, and alike for all types of
    floating-point numbers:

    - uint8 is left as it is;
    - floating-point numbers from 0 to 255, of which at least one is larger than 1, are taken as
      such gray levels and left as they are;
    - everything else, such as 16-bit integers or floating-point numbers in [0, 1], is stretched
      from its own range, see :func:`stretch_to_255`.

    NaN and infinite numbers do not count in that and become 0.

    Args:
        pixels: (H, W) gray or (H, W, 3) RGB, of real numbers.

    Returns:
        (H, W, 3), uint8 or float32 in [0, 255].

    Raises:
        InputError: the shape is another one, or it does not hold real numbers.
    """
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or not pixels.size:
        raise InputError(
            f"an image of shape {pixels.shape} was given; it must be (height, width) or "
            "(height, width, 3)"
        )
    if pixels.dtype.kind not in "buif":
        raise InputError(f"an image of type {pixels.dtype} was given; it must hold real numbers")
    if pixels.dtype.kind == "f" and _holds_gray_levels(pixels):
        pixels = _finite(pixels.astype(np.float32, copy=False))
    elif pixels.dtype != np.uint8:
        pixels = stretch_to_255(pixels)
    return (
        pixels
        if pixels.ndim == 3
        else cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2RGB)
    )


def stretch_to_255(values: np.ndarray) -> np.ndarray:
    """Map the smallest and the largest value to 0 and 255, linearly.

    Args:
        values: numbers of any type and shape; NaN and infinite ones stand for "no pixel here".

    Returns:
        float32 array of the same shape in [0, 255]. All zeros where the values do not differ;
        zero where there is no pixel.
    """
    stretched = np.zeros(values.size, np.float32)
    low, high = _finite_range(values)
    if high > low:
        flat = values.reshape(-1)
        unit = max(1.0, max(abs(low), abs(high)) / 1e300)  # so that no difference overflows
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK].astype(np.float64)
            is_pixel = np.isfinite(block)
            block = (block / unit - low / unit) / (high / unit - low / unit) * 255
            block[~is_pixel] = 0
            stretched[start : start + _BLOCK] = block
    return stretched.reshape(values.shape)


def _holds_gray_levels(pixels: np.ndarray) -> bool:
    low, high = _finite_range(pixels)
    return low >= 0 and 1 < high <= 255


def _finite_range(values: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest finite number; (0, 0) where there is none."""
    if not values.size:
        return 0.0, 0.0
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = values[np.isfinite(values)]
        if not finite.size:
            return 0.0, 0.0
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def _finite(pixels: np.ndarray) -> np.ndarray:
    """The same array, or a copy with zeros where it is not finite."""
    is_pixel = np.isfinite(pixels)
    return pixels if is_pixel.all() else np.where(is_pixel, pixels, np.float32(0))
