"""Reading images: PNG, JPEG and TIFF of 8 or more bits, and DICOM, all as RGB in [0, 255]."""

import os
import stat
from pathlib import Path

import numpy as np

from medmask.errors import InputError
from medmask.images.dicom import (
    DICOM_SUFFIXES,
    count_dicom_frames,
    is_dicom,
    read_dicom,
    read_dicom_size,
    read_dicom_spacing,
    read_dicom_values,
)
from medmask.images.frames import choose_frame, split_frame_path
from medmask.images.intensity import stretch_to_255, to_rgb
from medmask.images.raster import (
    count_raster_frames,
    read_raster,
    read_raster_size,
    read_raster_values,
)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", *DICOM_SUFFIXES)
"""Of the files that are read, in lower case; DICOM may have any other or none."""


def read_image(
    path: str | os.PathLike, frame: int | None = None, *, apply_voi: bool = True
) -> np.ndarray:
    """Read an image as RGB.

    The EXIF orientation is applied, as Detectron2 does; an alpha channel is dropped.

    Args:
        path: a PNG, JPEG, TIFF or DICOM file, whatever its name, or one frame of it, such as
            ``scan.dcm#3``.
        frame: the number of the frame, counted from 0, where the path does not name it. Files with
            several frames are read only frame by frame; see :func:`count_frames`.
        apply_voi: apply the window or table of a DICOM file, as a viewer does. Without it, the
            gray levels are those of the 16-bit PNG that a converter makes of the file, and a file
            with gray levels above its Bits Stored is refused.

    Returns:
        (H, W, 3) array in [0, 255]. Files of 8 bits come as uint8, with the values of the file.
        Files of more than 8 bits and DICOM come as float32: the image's own smallest and largest
        values become 0 and 255, with no loss of gray levels; a constant image becomes zeros.

    Raises:
        InputError: the file is absent, damaged or incomplete, is not an image of these formats, is
            larger than :data:`medmask.images.limits.MAX_IMAGE_PIXELS`, or has no such frame.
    """
    path, frame = _image_file(path, frame)
    if is_dicom(path):
        values = read_dicom(path, frame) if apply_voi else read_dicom_values(path, frame)[0]
        return to_rgb(stretch_to_255(values))
    return to_rgb(read_raster(path, frame))


def read_gray_levels(path: str | os.PathLike, frame: int | None = None) -> tuple[np.ndarray, int]:
    """Read gray levels without a loss: neither stretched nor windowed.

    Args:
        path: as for :func:`read_image`.
        frame: likewise.

    Returns:
        (H, W), or (H, W, 3) for colors, of which the larger are brighter; NaN where DICOM has only
        padding. And the number of bits that a value takes in the file.

    Raises:
        InputError: as for :func:`read_image`.
    """
    path, frame = _image_file(path, frame)
    if is_dicom(path):
        return read_dicom_values(path, frame)
    values = read_raster_values(path, frame)
    return values, 8 * values.itemsize


def read_image_size(path: str | os.PathLike, frame: int | None = None) -> tuple[int, int]:
    """Read (height, width) of what :func:`read_image` gives from the header, without the pixels.

    Args:
        path: as for :func:`read_image`.
        frame: likewise.

    Raises:
        InputError: as for :func:`read_image`, as far as the header tells.
    """
    path, frame = _image_file(path, frame)
    return read_dicom_size(path, frame) if is_dicom(path) else read_raster_size(path, frame)


def read_pixel_spacing(
    path: str | os.PathLike, frame: int | None = None
) -> tuple[float, float] | None:
    """Read the (height, width) of a pixel in millimeters that a DICOM file states.

    Args:
        path: as for :func:`read_image`.
        frame: likewise.

    Returns:
        None for a file that does not state it, as files of other formats.

    Raises:
        InputError: as for :func:`read_image`, or what is stated is not a spacing.
    """
    path, frame = _image_file(path, frame)
    return read_dicom_spacing(path, frame) if is_dicom(path) else None


def count_frames(path: str | os.PathLike) -> int:
    """Count the images in a file from its header, without their pixels.

    ``read_image(path, frame)`` reads each of them, with ``frame`` from 0 to the count - 1; where
    the path names a frame, such as ``scan.dcm#3``, the count is 1.

    Raises:
        InputError: the file is absent or has no readable header.
    """
    path, frame = _image_file(path)
    count = count_dicom_frames(path) if is_dicom(path) else count_raster_frames(path)
    if frame is None:
        return count
    choose_frame(path, frame, count)
    return 1


def _image_file(path: str | os.PathLike, frame: int | None = None) -> tuple[Path, int | None]:
    """A regular file that may be read, and the frame that is asked for."""
    path, frame = split_frame_path(path, frame)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"image {path} does not exist or cannot be reached ({reason})") from error
    if not stat.S_ISREG(mode):  # a pipe would wait, and /dev/zero never end
        raise InputError(f"image {path} is not a file but a {_kind(mode)}")
    if not os.access(path, os.R_OK):
        raise InputError(f"image {path} may not be read; change its permissions")
    return path, frame


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "folder", stat.S_ISFIFO: "pipe", stat.S_ISSOCK: "socket"}
    return next((name for test, name in kinds.items() if test(mode)), "device")
