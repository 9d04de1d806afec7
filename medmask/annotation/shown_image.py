"""Pictures that readers are shown: 8 bits, with the window of the file, and no patient data."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medmask.annotation.hanging import find_hanging
from medmask.annotation.options import ExportOptions
from medmask.annotation.pixel_map import Box, PixelMap
from medmask.data.breast import find_breast
from medmask.data.breast.preprocessing import MARGIN
from medmask.errors import InputError
from medmask.images import is_dicom, read_image, split_frame_path
from medmask.images.dicom.description import has_burned_in_text, read_frame_size
from medmask.images.dicom.parsing import open_dicom


class ShownImage(NamedTuple):
    """A picture of a stored image."""

    pixels: np.ndarray
    """(H, W) or, of color images, (H, W, 3) uint8"""
    pixel_map: PixelMap
    stored_size: tuple[int, int]
    """(width, height) in pixels"""


def make_shown_image(path: Path, boxes: Sequence[Box], options: ExportOptions) -> ShownImage:
    """Read an image and make the picture of it.

    Args:
        path: the file.
        boxes: corners in stored pixels; a crop shows all of them, wherever they are.
        options: crop and size.

    Raises:
        InputError: the file cannot be read, holds several frames, or its header says that there is
            writing in its pixels, which may be the patient's name.
    """
    _check_may_be_shown(path, allow_text=options.allow_burned_in_text)
    image = read_image(path)
    height, width = image.shape[:2]
    crop = (0, 0, width, height)
    if options.crop_to_breast and (breast := find_breast(image)) is not None:
        crop = _enclose(breast.box_with_margin(MARGIN), boxes, width, height)
    turns, mirrored = (find_hanging(path) if options.hang else None) or (0, False)
    pixel_map = _fit(crop, turns, options.max_size, mirrored=mirrored)
    return ShownImage(_to_bytes(pixel_map.show(image)), pixel_map, (width, height))


def _enclose(
    crop: tuple[int, int, int, int], boxes: Sequence[Box], width: int, height: int
) -> tuple[int, int, int, int]:
    """Widen a crop so that it holds boxes, as far as the image goes."""
    corners = np.array([crop, *boxes])
    x0, y0 = np.floor(corners[:, :2].min(axis=0)).astype(int).tolist()
    x1, y1 = np.ceil(corners[:, 2:].max(axis=0)).astype(int).tolist()
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def _fit(
    crop: tuple[int, int, int, int], turns: int, max_size: int | None, *, mirrored: bool
) -> PixelMap:
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    if turns % 2:
        width, height = height, width
    scale = min((max_size or np.inf) / max(width, height), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return PixelMap(crop, turns, mirrored, *size)


def _to_bytes(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) in [0, 255] of any type -> uint8, without channels that are all the same."""
    levels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    is_gray = (levels == levels[..., :1]).all()
    return levels[..., 0] if is_gray else levels


def _check_may_be_shown(path: Path, *, allow_text: bool) -> None:
    file, frame = split_frame_path(path)
    if frame is not None:
        raise InputError(
            f"image {path} is one frame of several: annotation files of data sets name whole "
            "files; write the frame to a file of its own"
        )
    if not file.is_file() or not is_dicom(file):
        return
    with open_dicom(file) as dicom:
        if read_frame_size(dicom.elements).frames > 1:
            raise InputError(
                f"image {path} holds several frames: annotation files of data sets name whole "
                "files; write the frames to files of their own"
            )
        if not allow_text and has_burned_in_text(dicom.elements):
            raise InputError(
                f"image {path} has writing in its pixels, by its Burned In Annotation: readers "
                "might see the patient's name; remove the writing, or allow it"
                " with --allow-burned-in-text"
            )
