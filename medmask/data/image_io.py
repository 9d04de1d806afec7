"""Reading images: PNG, JPEG and TIFF of 8 or 16 bits, and DICOM, all as RGB in [0, 255]."""

import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from medmask.data.dicom import count_dicom_frames, is_dicom, read_dicom, read_dicom_size
from medmask.data.frames import choose_frame, split_frame_path
from medmask.errors import InputError

_EXIF_ORIENTATION = 274
_EXIF_TURNED_SIDEWAYS = (5, 6, 7, 8)
_TIFF_PHOTOMETRIC = 262
_TIFF_MIN_IS_WHITE = 0


def read_image(path: str | os.PathLike, frame: int | None = None) -> np.ndarray:
    """Read an image as RGB.

    The EXIF orientation is applied, as Detectron2 does; an alpha channel is dropped.

    Args:
        path: a PNG, JPEG, TIFF or DICOM file (any other 8-bit format that Pillow reads works too),
            or one frame of it, such as ``scan.dcm#3``.
        frame: the number of the frame, counted from 0, where the path does not name it. Files with
            several frames are read only frame by frame; see :func:`count_frames`.

    Returns:
        (H, W, 3) array in [0, 255]. Files of 8 bits come as uint8, with the values of the file.
        Files of more than 8 bits and DICOM come as float32: the image's own smallest and largest
        values become 0 and 255, with no loss of grey levels; a constant image becomes zeros.

    Raises:
        InputError: the file is absent, cut off, or not an image.
    """
    path, frame = split_frame_path(path, frame)
    path = _existing_file(path)
    if is_dicom(path):
        pixels = stretch_to_255(read_dicom(path, frame))
    else:
        choose_frame(path, frame, 1)
        pixels = _read_with_pillow(path)
    return to_rgb(pixels)


def count_frames(path: str | os.PathLike) -> int:
    """Count the images in a file from its header, without their pixels.

    ``read_image(path, frame)`` reads each of them, with ``frame`` from 0 to the count - 1; where
    the path names a frame, such as ``scan.dcm#3``, the count is 1.

    Raises:
        InputError: the file is absent or has no readable header.
    """
    path, frame = split_frame_path(path)
    path = _existing_file(path)
    count = count_dicom_frames(path) if is_dicom(path) else 1
    if frame is None:
        return count
    choose_frame(path, frame, count)
    return 1


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Bring the pixels of an image into the form of :func:`read_image`.

    Args:
        pixels: (H, W) grey or (H, W, 3) RGB. uint8 and float32 in [0, 255] are left as they are;
            other types are stretched, see :func:`stretch_to_255`.

    Returns:
        (H, W, 3), uint8 or float32 in [0, 255].

    Raises:
        InputError: the shape is another one.
    """
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or not pixels.size:
        raise InputError(
            f"an image of shape {pixels.shape} was given; it must be (height, width) or "
            "(height, width, 3)"
        )
    if pixels.dtype != np.uint8 and not (pixels.dtype == np.float32 and _is_in_range(pixels)):
        pixels = stretch_to_255(pixels)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _is_in_range(pixels: np.ndarray) -> bool:
    return bool(pixels.min() >= 0 and pixels.max() <= 255)


def read_image_size(path: str | os.PathLike, frame: int | None = None) -> tuple[int, int]:
    """Read (height, width) from the header of an image, without its pixels.

    Args:
        path: as for :func:`read_image`.
        frame: likewise.

    Raises:
        InputError: the file is absent or has no readable header.
    """
    path, frame = split_frame_path(path, frame)
    path = _existing_file(path)
    if is_dicom(path):
        return read_dicom_size(path, frame)
    choose_frame(path, frame, 1)
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION) in _EXIF_TURNED_SIDEWAYS
            if turned and image.format != "TIFF":  # Pillow turns the size of TIFFs itself
                width, height = height, width
    except Exception as error:
        raise _unreadable(path, error) from error
    return height, width


def stretch_to_255(values: np.ndarray) -> np.ndarray:
    """Map the smallest and the largest value to 0 and 255, linearly.

    Args:
        values: numbers of any type and shape; NaN and infinite ones stand for "no pixel here".

    Returns:
        float32 array of the same shape in [0, 255]. All zeros where the values do not differ;
        zero where there is no pixel.
    """
    values = values.astype(np.float64)
    is_pixel = np.isfinite(values)
    low = values.min(where=is_pixel, initial=np.inf)
    high = values.max(where=is_pixel, initial=-np.inf)
    if not high > low:
        return np.zeros(values.shape, np.float32)
    values -= low
    values /= high - low
    values *= 255
    values[~is_pixel] = 0
    return values.astype(np.float32)


def _existing_file(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"image {path} does not exist or is not a file")
    if not os.access(path, os.R_OK):
        raise InputError(f"image {path} may not be read; change its permissions")
    return path


def _read_with_pillow(path: Path) -> np.ndarray:
    """(H, W) or (H, W, 3); uint8, or float32 for more than 8 bits."""
    try:
        with Image.open(path) as image:
            deep = _has_more_than_8_bits(image)
            inverted = deep and _is_min_white(image)
            # exif_transpose decodes all pixels, so a file that is cut off fails here
            image = ImageOps.exif_transpose(image)
            if not deep:
                return np.asarray(image.convert("RGB"))
            values = np.asarray(image) if len(image.getbands()) == 1 else _read_deep_colour(path)
    except Exception as error:
        raise _unreadable(path, error) from error
    values = values.astype(np.float64)
    return stretch_to_255(-values if inverted else values)


def _has_more_than_8_bits(image: Image.Image) -> bool:
    # Pillow has no mode for deep colour: it opens it as 8-bit RGB, and only the decoder's raw mode
    # (such as "RGB;16B") tells what the file holds.
    deep_colour = image.format in ("PNG", "TIFF") and ";16" in str(image.tile)
    return image.mode[0] in "IF" or deep_colour


def _is_min_white(image: Image.Image) -> bool:
    """Whether the file is a TIFF that stores white as 0; Pillow inverts those of 8 bits only."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_TIFF_PHOTOMETRIC) == _TIFF_MIN_IS_WHITE


def _read_deep_colour(path: Path) -> np.ndarray:
    content = np.fromfile(path, np.uint8)
    values = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if values is None:
        raise ValueError("OpenCV cannot decode it")
    return values[:, :, ::-1]  # BGR to RGB


def _unreadable(path: Path, error: Exception) -> InputError:
    if path.stat().st_size == 0:
        reason = "the file is empty"
    elif isinstance(error, Image.UnidentifiedImageError):
        reason = "it is not a PNG, JPEG, TIFF or DICOM image"
    else:
        reason = str(error) or type(error).__name__
    return InputError(f"image {path} cannot be read ({reason}); copy or convert the file again")
