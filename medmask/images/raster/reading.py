"""Pixels of PNG, JPEG and TIFF files of 8 or more bits, by Pillow, and OpenCV for deep color."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image

from medmask.errors import InputError
from medmask.images.error_text import describe_error
from medmask.images.frames import choose_frame
from medmask.images.intensity import stretch_to_255
from medmask.images.limits import check_image_size
from medmask.images.raster.decoding import Decoder, find_decoder, load_complete
from medmask.images.raster.jpeg import JpegDecoder
from medmask.images.raster.png import PngDecoder
from medmask.images.raster.tiff import TiffDecoder

_EXIF_ORIENTATION = 274


def read_raster_size(path: Path, frame: int | None) -> tuple[int, int]:
    """Read (height, width), as the image is turned for show, from the header alone.

    Raises:
        InputError: as :func:`read_raster`.
    """
    with _open(path, frame) as image:
        width, height = image.size
        turned = not isinstance(image, TiffDecoder) and _orientation(image) >= 5
        return (width, height) if turned else (height, width)


def count_raster_frames(path: Path) -> int:
    """Count the pages of a TIFF file; 1 for the other formats.

    Raises:
        InputError: the file cannot be read, or is an animation.
    """
    with _errors(path), path.open("rb") as file:
        return _count(_decoder(file))


def read_raster(path: Path, frame: int | None) -> np.ndarray:
    """Read an image with its EXIF orientation applied and without its alpha channel.

    Args:
        path: the file.
        frame: the page of a TIFF file, from 0; needed where there are several.

    Returns:
        (H, W) or (H, W, 3); uint8, or float32 in [0, 255] for more than 8 bits, stretched.

    Raises:
        InputError: the file is damaged, incomplete or too large, or no such image.
    """
    values = read_raster_values(path, frame)
    return values if values.dtype == np.uint8 else stretch_to_255(values)


def read_raster_values(path: Path, frame: int | None) -> np.ndarray:
    """Read the gray levels of an image as they are stored, otherwise as :func:`read_raster`.

    Returns:
        (H, W) or (H, W, 3); uint8, or integers or floating-point numbers of more than 8 bits, of
        which the larger are brighter.

    Raises:
        InputError: as :func:`read_raster`.
    """
    with _open(path, frame) as image:
        if isinstance(image, PngDecoder):
            image.check_chunks()
        file = image.fp
        deep = _has_more_than_8_bits(image)
        is_inverted = deep and isinstance(image, TiffDecoder) and image.is_min_white()
        # Pillow and OpenCV turn TIFF images themselves
        orientation = _orientation(image)
        is_turned = isinstance(image, TiffDecoder)
        image = load_complete(image, lambda: _seek(_decoder(file), path, frame))
        if not deep:
            pixels = np.asarray(image.convert("RGB"))
        elif len(image.getbands()) == 1:
            pixels = np.asarray(image)
        else:
            pixels = _read_deep_color(path, frame)
    pixels = pixels if is_turned else _turn(pixels, orientation)
    pixels = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    if not is_inverted:
        return pixels
    return -pixels if pixels.dtype.kind == "f" else ~pixels


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes Pillow raise into one sentence."""
    try:
        # what Pillow warns of is of no use to whoever reads the image, or becomes an error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        # Pillow hides what it met at the end of the data behind a SyntaxError
        is_cut = isinstance(error.__cause__ or error, (struct.error, IndexError, EOFError))
        reason = "it is cut off or damaged" if is_cut else describe_error(error)
        raise InputError(
            f"image {path} cannot be read ({reason}); copy or convert the file again"
        ) from error


@contextmanager
def _open(path: Path, frame: int | None) -> Iterator[Decoder]:
    """Open a file at a frame, and check its size."""
    with _errors(path), path.open("rb") as file:
        image = _seek(_decoder(file), path, frame)
        check_image_size(path, image.size[1], image.size[0])
        yield image


def _decoder(file: IO[bytes]) -> Decoder:
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    if not head:
        raise OSError("the file is empty")
    decoder = find_decoder(head)
    if decoder is None:
        raise OSError("it is not a PNG, JPEG, TIFF or DICOM image")
    return decoder(file)


def _seek(image: Decoder, path: Path, frame: int | None) -> Decoder:
    frame = choose_frame(path, frame, _count(image))
    if isinstance(image, TiffDecoder):
        image.seek(frame)
    return image


def _count(image: Decoder) -> int:
    count = getattr(image, "n_frames", 1)
    if count > 1 and isinstance(image, PngDecoder):
        raise OSError("it is an animation")
    return count


def _orientation(image: Decoder) -> int:
    """The EXIF orientation, 1 to 8, from the header alone."""
    # PngImageFile.getexif decodes the pixels; the EXIF data may stand behind them
    if isinstance(image, PngDecoder):
        image.find_exif()
    value = Image.Image.getexif(image).get(_EXIF_ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation to (H, W, ...) pixels."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _has_more_than_8_bits(image: Decoder) -> bool:
    # Pillow has no mode for deep color: it opens it as 8-bit RGB, and only the decoder's raw mode
    # (such as "RGB;16B") tells what the file holds.
    deep_color = not isinstance(image, JpegDecoder) and ";16" in str(image.tile)
    return image.mode[0] in "IF" or deep_color


def _read_deep_color(path: Path, frame: int | None) -> np.ndarray:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    first = frame or 0
    content = np.fromfile(path, np.uint8)
    success, images = cv2.imdecodemulti(content, flags, range=(first, first + 1))
    if not success:
        raise OSError("OpenCV cannot decode it")
    return images[0][:, :, ::-1]  # BGR to RGB
