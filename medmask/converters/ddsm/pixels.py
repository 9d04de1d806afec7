"""The films of DDSM on disk, decoded from LJPEG by the program of the set or by another one."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from medmask.converters.contract import SourceImage
from medmask.converters.ddsm.density import to_density, to_gray_levels
from medmask.errors import InputError
from medmask.images.limits import check_image_size

RAW_SUFFIXES = (".LJPEG.1", ".raw")
"""Of files that hold nothing but the values, as big-endian words; the first is what the decoder of
the set writes."""
PICTURE_SUFFIXES = (".png", ".pgm", ".tif")

_FORMATS = ("PNG", "PPM", "TIFF")
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L")


def read_pixels(image: SourceImage) -> np.ndarray:
    """Read a film as it is shown: bright tissue, linear in optical density.

    A picture of 8 bits, or of larger values than the digitizer has, was brought to a scale for
    display by whoever decoded it, and is taken as it is.

    Args:
        image: with ``attributes`` of the module's ``read``: height, width, bits, volume, digitizer.

    Returns:
        (H, W), uint16, or uint8 for a picture of 8 bits.

    Raises:
        InputError: the file cannot be read, is not of the stated size, or it cannot be known what
            its values are.
    """
    film = image.attributes
    height, width, bits = film["height"], film["width"], film["bits_per_pixel"]
    check_image_size(image.path, height, width)
    largest = 2**bits - 1
    if is_raw(image.path):
        values = _read_words(image.path, height, width)
        if values.max() > largest:
            raise InputError(
                f"film {image.path} has values above the {largest} of its {bits} bits, so it is "
                "not the big-endian words that the decoder of DDSM writes; decode it again"
            )
    else:
        values = _read_picture(image.path)
        if values.shape != (height, width):
            raise InputError(
                f"film {image.path} has {values.shape[0]} x {values.shape[1]} pixels and its case "
                f"description states {height} x {width}; decode it again"
            )
        if values.dtype == np.uint8 or values.max() > largest:
            return values
        if bits > 12:
            raise InputError(
                f"film {image.path} may hold the values of digitizer {film['digitizer']} or a "
                "scale for display, which cannot be told apart in a picture of 16 bits; decode "
                "its LJPEG file to .LJPEG.1"
            )
    return to_gray_levels(to_density(values, film["volume"], film["digitizer"]))


def is_raw(path: Path) -> bool:
    """Tell by its name whether a file holds nothing but the values."""
    return path.name.endswith(RAW_SUFFIXES)


def has_raw_size(path: Path, height: int, width: int) -> bool:
    """Tell whether a file has two bytes for each pixel."""
    return os.stat(path).st_size == 2 * height * width


def _read_words(path: Path, height: int, width: int) -> np.ndarray:
    if not has_raw_size(path, height, width):
        raise InputError(
            f"film {path} has not two bytes for each of its {height} x {width} pixels; decode it "
            "again"
        )
    return np.fromfile(path, ">u2").astype(np.uint16).reshape(height, width)


def _read_picture(path: Path) -> np.ndarray:
    try:
        with Image.open(path, formats=_FORMATS) as opened:
            check_image_size(path, opened.height, opened.width)
            if opened.mode == "L":
                return np.asarray(opened)
            if opened.mode not in _DEEP_MODES:
                raise OSError("it is not gray of 8 or 16 bits")
            values = np.asarray(opened)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"film {path} cannot be read ({error}); decode it again") from error
    if values.min() < 0 or values.max() > 65535:
        raise InputError(f"film {path} has values of more than 16 bits; decode it again")
    return values.astype(np.uint16)
