"""Gray levels of raw files as they are stored: nothing is stretched, clipped or lost."""

import numpy as np

from medmask.converters.contract import SourceImage
from medmask.errors import InputError
from medmask.images import is_dicom, read_gray_levels

_LARGEST = 2**16 - 1


def read_pixels(image: SourceImage) -> np.ndarray:
    """Read the gray levels of a PNG, JPEG, TIFF or DICOM file.

    Of DICOM it is the stored values (no window or table for presentation), inverted for MONOCHROME1
    or a rescale slope below 0; padding is as dark as the darkest pixel, so that the image is
    stretched as the DICOM file itself is. Values below 0 are shifted up.

    Returns:
        (H, W) uint8 for files of 8 bits, else uint16; larger is brighter.

    Raises:
        InputError: the file cannot be read, shows colors, or its values do not fit into 16 bits
            without loss.
    """
    values, bits = read_gray_levels(image.path)
    if not is_dicom(image.path) and values.dtype not in (np.uint8, np.uint16):
        raise InputError(f"image {image.path} has other than 8 or 16 bits; convert it to 16 bits")
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise InputError(f"image {image.path} shows colors; mammograms are gray")
        values = values[..., 0]
    return _to_integers(values, bits, image)


def _to_integers(values: np.ndarray, bits: int, image: SourceImage) -> np.ndarray:
    """Values as uint8 or uint16, which must be able to hold them."""
    if values.dtype in (np.uint8, np.uint16):
        return values
    is_pixel = np.isfinite(values)
    if not is_pixel.any():
        raise InputError(f"image {image.path} consists of padding alone")
    lowest = values[is_pixel].min()
    shifted = np.where(is_pixel, values, lowest) - min(lowest, 0)
    largest = 255 if bits <= 8 else _LARGEST
    if (shifted != np.rint(shifted)).any() or shifted.max() > largest:
        raise InputError(
            f"image {image.path} has values that are not whole numbers of 16 bits; convert it with "
            "--link, which leaves the file as it is"
        )
    return shifted.astype(np.uint8 if bits <= 8 else np.uint16)
