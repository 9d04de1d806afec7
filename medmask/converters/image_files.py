"""Writing one image of a data set, and finding its lesions in it; what worker processes do."""

import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from medmask.converters.contract import SourceImage
from medmask.converters.pixels import read_pixels
from medmask.converters.regions import Region, find_regions
from medmask.errors import InputError
from medmask.images import read_image_size, read_pixel_spacing
from medmask.utils.file_hash import hash_file
from medmask.utils.files import atomic_write
from medmask.version import __version__

_SQUARE = 1e-3
"""Share by which the sides of a square pixel may differ, as they are rounded in headers."""


@dataclass(frozen=True)
class ImageTask:
    """One image to write; it is sent to a worker process.

    Attributes:
        image: the source.
        folder: of the images.
        read_pixels: of the set's converter.
        max_size: pixels of the longer side; smaller images stay as they are. None for full size.
        link: link to the raw file instead of writing a PNG file.
    """

    image: SourceImage
    folder: Path
    read_pixels: Callable[[SourceImage], np.ndarray] | None
    max_size: int | None
    link: bool

    @property
    def file_name(self) -> str:
        """Name of the output file, relative to the folder of the images."""
        return self.image.name + ((self.image.path.suffix or ".dcm") if self.link else ".png")


@dataclass(frozen=True)
class WrittenImage:
    """An image that was written, or why it was not.

    Attributes:
        name: of the source image.
        file_name: relative to the folder of the images.
        error: a sentence, if it could not be converted; the rest is then without meaning.
        width: in pixels.
        height: in pixels.
        source_width: of the raw file.
        pixel_spacing_mm: of the raw file, as the set or else the file itself tells it; None where
            its pixels are not square.
        source_sha256: of the raw file; None where it was linked to and so not read.
        regions: of each lesion, in the order of the source image's lesions.
        version: of MedMask that wrote it; None where it is not known.
    """

    name: str
    file_name: str
    error: str | None = None
    width: int = 0
    height: int = 0
    source_width: int = 0
    pixel_spacing_mm: float | None = None
    source_sha256: str | None = None
    regions: tuple[tuple[Region, ...], ...] = ()
    version: str | None = None


def write_image(task: ImageTask) -> WrittenImage:
    """Write an image; whatever is wrong with its files becomes the result's ``error``."""
    try:
        return _link(task) if task.link else _write(task)
    except InputError as error:
        return WrittenImage(task.image.name, task.file_name, str(error))


def fit_size(size: tuple[int, int], max_size: int | None) -> tuple[int, int]:
    """The (height, width) of an image whose longer side is at most ``max_size``."""
    scale = 1.0 if max_size is None else min(1.0, max_size / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def _write(task: ImageTask) -> WrittenImage:
    pixels = (task.read_pixels or read_pixels)(task.image)
    if pixels.min() == pixels.max():
        raise InputError(f"image {task.image.path} has the same gray level everywhere")
    source_size = pixels.shape[0], pixels.shape[1]
    size = fit_size(source_size, task.max_size)
    regions = _find_regions(task.image, source_size, size)
    if size != source_size:
        pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".png", pixels)[1]
    with atomic_write(task.folder / task.file_name) as file:
        file.write(encoded.tobytes())
    digest = hash_file(task.image.path)
    return _result(task, source_size, size, digest, regions)


def _link(task: ImageTask) -> WrittenImage:
    size = read_image_size(task.image.path)
    regions = _find_regions(task.image, size, size)
    target = task.folder / task.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}.link")  # short, whatever the image's name is
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(task.image.path.absolute())
    os.replace(temporary, target)
    return _result(task, size, size, None, regions)


def _result(
    task: ImageTask,
    source_size: tuple[int, int],
    size: tuple[int, int],
    digest: str | None,
    regions: tuple[tuple[Region, ...], ...],
) -> WrittenImage:
    return WrittenImage(
        name=task.image.name,
        file_name=task.file_name,
        width=size[1],
        height=size[0],
        source_width=source_size[1],
        pixel_spacing_mm=_pixel_spacing_mm(task.image),
        source_sha256=digest,
        regions=regions,
        version=__version__,
    )


def _find_regions(
    image: SourceImage, source_size: tuple[int, int], size: tuple[int, int]
) -> tuple[tuple[Region, ...], ...]:
    try:
        return tuple(tuple(find_regions(lesion, source_size, size)) for lesion in image.lesions)
    except InputError as error:
        raise InputError(f"image {image.path}: {error}") from None


def _pixel_spacing_mm(image: SourceImage) -> float | None:
    """Find the side of a pixel: from the set, or else from the header of a DICOM file.

    Pixels that are not square have no side that would be right along both.
    """
    if image.pixel_spacing_mm is not None:
        return image.pixel_spacing_mm
    with contextlib.suppress(InputError):  # what is no spacing, such as 0, tells nothing
        spacing = read_pixel_spacing(image.path)
        if spacing is not None and math.isclose(*spacing, rel_tol=_SQUARE):
            return spacing[0]
    return None
