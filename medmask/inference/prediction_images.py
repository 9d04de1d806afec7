"""Images to predict on: files as they come, or the images of a registered data set."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from detectron2.data import MetadataCatalog

from medmask.data.loaders import load_dataset_dicts
from medmask.data.pixel_spacing import PixelSpacing, pixel_spacing_of
from medmask.errors import InputError
from medmask.images import count_frames, frame_path, read_image, split_frame_path
from medmask.utils.absolute_paths import absolute_path
from medmask.utils.json_files import valid_unicode


@dataclass(frozen=True)
class PredictionImage:
    """One image to predict on.

    Attributes:
        path: the file.
        file_name: what the detections call it.
        frame: of a file of several frames, counted from 0; None for a file of one.
        image_id: of its data set; None for a file that belongs to none.
        size: (height, width) that its data set gives; None if nothing is known.
        pixel_spacing_mm: the side of a pixel that its data set gives; None if it gives none.
        is_archived: whether its file stays as it is, and is found under one name alone: then it is
            not looked at to plan a run, which takes minutes for a million files of a network.
    """

    path: Path
    file_name: str
    frame: int | None = None
    image_id: int | str | None = None
    size: tuple[int, int] | None = None
    pixel_spacing_mm: float | None = None
    is_archived: bool = False

    @property
    def name(self) -> str:
        """The file, and the frame as ``#N``, for messages."""
        return str(self.path if self.frame is None else frame_path(self.path, self.frame))

    @property
    def absolute_path(self) -> str:
        """The absolute path of the file, with links: a data set knows it by that name."""
        return absolute_path(self.path)

    @property
    def real_path(self) -> str:
        """The absolute path of the file, without links unless it is archived."""
        return self.absolute_path if self.is_archived else os.path.realpath(self.path)

    @property
    def key(self) -> str:
        """Identity of the image, see :func:`image_key`."""
        return image_key(self.real_path, self.frame, self.image_id)

    @property
    def picture_source(self) -> Path:
        """A path to name a picture of it by."""
        if self.frame is None:
            return self.path
        return self.path.with_name(f"{self.path.stem}_{self.frame}{self.path.suffix}")

    def read(self, *, apply_voi: bool = True) -> np.ndarray:
        """Read the pixels: (H, W, 3) RGB in [0, 255].

        Args:
            apply_voi: as for :func:`medmask.data.read_image`.

        Raises:
            InputError: the file cannot be read, or its data set gives another size.
        """
        pixels = read_image(self.path, self.frame, apply_voi=apply_voi)
        if self.size not in (None, pixels.shape[:2]):
            raise InputError(
                f"image {self.path} is {pixels.shape[1]} x {pixels.shape[0]} (width x height), but "
                f"its data set says {self.size[1]} x {self.size[0]}; run medmask check-data"
            )
        return pixels


def image_key(real_path: str, frame: int | None, image_id: int | str | None) -> str:
    """Identify an image, wherever the process runs: 24 hexadecimal digits.

    That of 10 million images is that of two of them with a probability below 1e-15. The only image
    of a file is one, named as frame 0 or not; of several, an image without a frame cannot be read.

    Args:
        real_path: :attr:`PredictionImage.real_path`.
        frame: of the file.
        image_id: of its data set.
    """
    text = f"{real_path}\0{frame or None}\0{image_id!r}"
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=12).hexdigest()


FileState = tuple[int | None, int | None]
"""Size of a file in bytes, and its modification time in nanoseconds; None where it is gone."""


def file_state(path: str | os.PathLike) -> FileState:
    """Look at a file, to tell later whether it has changed."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # the latter of a name that no file can have
        return None, None
    return state.st_size, state.st_mtime_ns


def read_spacing(image: PredictionImage) -> PixelSpacing | None:
    """Find the (height, width) of a pixel in millimeters, as training does.

    Raises:
        InputError: what its data set or its file states is not a spacing.
    """
    return pixel_spacing_of({"file_name": image.name, "pixel_spacing_mm": image.pixel_spacing_mm})


def images_of_files(
    paths: Iterable[str | os.PathLike], frame: int | Literal["all"] | None = None
) -> list[PredictionImage]:
    """Take files as images; one that is named twice, through a link or as frame 0, counts once.

    Args:
        paths: files, or frames of files such as ``scan.dcm#3``.
        frame: which frame to take of files that hold several, counted from 0, or ``"all"`` for
            each as an image of its own; None leaves such files to fail.

    Raises:
        InputError: ``frame`` is negative.
    """
    if isinstance(frame, int) and frame < 0:
        raise InputError(f"frames are counted from 0, got {frame}")
    images: dict[str, PredictionImage] = {}
    for given in paths:
        path, named = split_frame_path(given)
        for number in [named] if named is not None else _choose_frames(path, frame):
            name = path if number is None else frame_path(path, number)
            image = PredictionImage(path, _file_name(name), frame=number)
            images.setdefault(image.key, image)
    return list(images.values())


def _choose_frames(path: Path, frame: int | Literal["all"] | None) -> Sequence[int | None]:
    if frame is None:
        return [None]
    try:
        count = count_frames(path)
    except InputError:  # said again, and counted, when the image is read
        return [None]
    if count == 1 and frame in (0, "all"):
        return [None]
    return range(count) if frame == "all" else [frame]


def _file_name(path: Path) -> str:
    """The path as given, or absolute where it climbs."""
    return valid_unicode(absolute_path(path) if os.pardir in path.parts else path)


def images_of_dataset(name: str) -> list[PredictionImage]:
    """Take the images of a registered data set, with its ids and relative names.

    Raises:
        InputError: the set is unknown, absent or faulty.
    """
    records = load_dataset_dicts(name)
    root = getattr(MetadataCatalog.get(name), "image_root", None)
    return [
        PredictionImage(
            path=Path(record["file_name"]),
            file_name=valid_unicode(_relative(record["file_name"], root)),  # as evaluation does
            image_id=record["image_id"],
            size=(record["height"], record["width"]),
            pixel_spacing_mm=record.get("pixel_spacing_mm"),
        )
        for record in records
    ]


def _relative(path: str, root: str | None) -> str:
    return path if root is None else os.path.relpath(path, root)
