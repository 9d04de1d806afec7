"""Answers of a data set to the engine: images, lesions, and what was left out, with reasons.

A set is one module beside this one, named in :mod:`medmask.converters.registry`, with a
constant ``CONVERTER``. It reads the index of a raw download and decides what a lesion is and which
of them are malignant; everything after that is the engine's and the same for all sets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Lesion:
    """One lesion, in one of three forms: outlines, a box, or a mask in a file.

    A set may give outlines and a box; the box is then that of the lesion, whatever the outlines.

    Coordinates are continuous, in pixels of the source image: x to the right, y down, and (0, 0) is
    the upper left corner of the upper left pixel. What reaches beyond the image is cut off there.

    Attributes:
        outlines: polygons, each (N, 2) float x, y with N of at least 3; all of them together are
            the lesion.
        box: (x0, y0, x1, y1).
        mask: an image file in which every value but 0 is the lesion, and most are the highest; it
            is resized to the image where its size differs.
        is_split: whether each connected part of ``mask`` is a lesion of its own.
        malignant: None where the set does not tell; images with such a lesion are left out of the
            annotation files of malignant lesions.
        attributes: what else the set says of it (type, pathology, ...), as JSON values.
    """

    outlines: tuple[np.ndarray, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: Path | None = None
    is_split: bool = False
    malignant: bool | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def any_malignant(lesions: Sequence[Lesion]) -> bool | None:
    """Tell whether one of an image's lesions is malignant; None where that is not told."""
    each = [lesion.malignant for lesion in lesions]
    return True if True in each else None if None in each else False


@dataclass(frozen=True)
class SourceImage:
    """One image of a raw download; None stands for "not told".

    Attributes:
        path: the raw file.
        name: name of the output file, without suffix: relative, with ``/`` between folders, and no
            two images have the same.
        patient_id: splits keep the images of a patient together.
        study_date: as the set writes it, such as ``20100315`` or ``201003``.
        laterality: "L" or "R".
        view: "CC", "MLO", ...
        density: of the breast, in the set's own scale.
        birads: assessment of the image or of the breast.
        scanner: name of the scanner or digitizer.
        pixel_spacing_mm: side of a pixel of the raw file, in millimeters.
        malignant: label of the image or of the breast. A labeled set's image that is malignant
            and has no lesion (or no malignant one) is neither positive nor negative: it is left
            out of the annotation files.
        lesion: whether the image shows any lesion, where the set says so by other means than marks
            and ``malignant``.
        attributes: what else the set says of it, as JSON values.
        lesions: all that are marked, benign ones too.
        split: "train", "val" or "test" where the set has splits of its own.
    """

    path: Path
    name: str
    patient_id: str | None = None
    study_date: str | None = None
    laterality: str | None = None
    view: str | None = None
    density: str | None = None
    birads: str | None = None
    scanner: str | None = None
    pixel_spacing_mm: float | None = None
    malignant: bool | None = None
    lesion: bool | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    lesions: tuple[Lesion, ...] = ()
    split: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """An image that is not converted.

    Attributes:
        name: its name, or its file or id in the raw download.
        reason: a clause, such as "its lesion has no position".
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Contents:
    """Content of the index of a raw download.

    Attributes:
        images: those to convert.
        left_out: those that are not, each with its reason.
        sources: the index files, of which the provenance gives hashes.
        problems: everything that is wrong with the download, one sentence each; the images that
            have none are converted all the same.
    """

    images: list[SourceImage] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class MarkedLesions(Enum):
    """Lesions that a set marks, which decides what an image without marks tells."""

    ALL = "benign ones, too: an image without any shows no lesion"
    MALIGNANT = "benign ones not, or not all: an image without any may show a benign one"
    UNTOLD = "those of its files: an image without any is listed, and gets no label of its own"
    NONE = "none: all images are listed without any"


@dataclass(frozen=True)
class Converter:
    """A data set that can be converted.

    Attributes:
        name: on the command line, and the start of its names in configs: the module's name.
        title: its name in print.
        read: reads the index in a raw folder, and no pixels. Problems of single images are
            collected, so that all are told at once; it raises an ``InputError`` only where there
            is nothing to go on with, as in a folder of something else.
        marked: the lesions that the set marks.
        read_pixels: reads the gray levels of a raw file as (H, W) uint8 or uint16, bright tissue in
            large numbers. It runs in worker processes, so it has to be a function of the module.
            None reads PNG, JPEG, TIFF and DICOM by :mod:`medmask.converters.pixels`.
    """

    name: str
    title: str
    read: Callable[[Path], Contents]
    marked: MarkedLesions
    read_pixels: Callable[[SourceImage], np.ndarray] | None = None
