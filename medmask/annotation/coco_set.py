"""Corrected annotations as a COCO set of the project, on the stored images."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medmask.annotation.corrections import Correction, Lesion
from medmask.annotation.manifest import ExportedImage
from medmask.errors import InputError
from medmask.images import is_dicom
from medmask.images.dicom.elements import Elements
from medmask.images.dicom.parsing import open_dicom
from medmask.images.dicom.view import read_side, read_view


def make_coco_set(
    corrections: Sequence[Correction], classes: Sequence[str], image_root: Path, notes: list[str]
) -> dict[str, Any]:
    """Make the content of an annotation file.

    Args:
        corrections: of the images that were reviewed, with lesions or without.
        classes: names of the categories; their ids count from 1.
        image_root: folder that file names are relative to.
        notes: gets a sentence for each thing that a header tells in a way that cannot be read.

    Returns:
        ``images``, ``annotations`` and ``categories``. An image keeps the id of its data set if
        all have one. Annotations tell their ``origin``: what the reader did with them.

    Raises:
        InputError: an image lies outside of the folder.
    """
    category_ids = {name: number for number, name in enumerate(classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    ids = _image_ids(corrections)
    for image_id, correction in zip(ids, corrections, strict=True):
        images.append(image_record(correction, image_id, image_root, notes))
        for lesion in correction.lesions:
            record = annotation_record(lesion, category_ids[lesion.label])
            annotations.append({"id": len(annotations) + 1, "image_id": image_id} | record)
    return {
        "info": {"description": "annotations that readers corrected"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
    }


def common_root(corrections: Sequence[Correction]) -> Path:
    """The image folder of the data set that the images are of, or the folder that all lie in."""
    roots = {_root_of_set(correction) for correction in corrections}
    if len(roots) == 1 and (root := roots.pop()) is not None:
        return root
    return Path(os.path.commonpath([Path(x.image.source).parent for x in corrections]))


def _root_of_set(correction: Correction) -> Path | None:
    """The folder that the name of an image in its data set is relative to, if it has one."""
    source, name = correction.image.source, Path(correction.image.file_name)
    if correction.image.image_id is None or name.is_absolute():
        return None
    tail = os.sep + str(name)
    return Path(source.removesuffix(tail)) if source.endswith(tail) else None


def _image_ids(corrections: Sequence[Correction]) -> list[int | str]:
    told = [x.image.image_id for x in corrections]
    known = [image_id for image_id in told if image_id is not None]
    if len(known) == len(told) and len(set(known)) == len(told):
        return known
    return list(range(1, len(told) + 1))


def image_record(
    correction: Correction, image_id: int | str, image_root: Path, notes: list[str]
) -> dict[str, Any]:
    """The record of an image, with what the header of a DICOM file tells of patient and view.

    A fault in what it tells is noted, and costs no more than that field: a reader's work is not
    lost, as it would be with a corrected, and so another, file.

    Raises:
        InputError: the image lies outside of the folder that file names are relative to.
    """
    image = correction.image
    file_name = os.path.relpath(image.source, image_root)
    if _is_name_in(image_root, image):
        file_name = image.file_name  # which may be that of a link
    elif file_name.split(os.sep)[0] == os.pardir:
        raise InputError(
            f"image {image.source} is not in {image_root}, the folder that file names are relative "
            "to: give another one with --images"
        )
    record = {
        "id": image_id,
        "file_name": Path(file_name).as_posix(),
        "width": image.width,
        "height": image.height,
    }
    return record | _header_fields(Path(image.source), notes)


def _is_name_in(image_root: Path, image: ExportedImage) -> bool:
    """True if the name of an image in its data set leads to its file from this folder, too."""
    name = Path(image.file_name)
    if image.image_id is None or name.is_absolute() or os.pardir in name.parts:
        return False
    return os.path.realpath(image_root / name) == os.path.realpath(image.source)


def _header_fields(path: Path, notes: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    if not is_dicom(path):
        return fields
    with open_dicom(path) as file:
        for name, read in _HEADER_FIELDS.items():
            try:
                value = read(file.elements)
            except InputError:  # its text may quote the patient
                notes.append(
                    f"image {path}: the set does not tell its {name}, which the header has in "
                    "several values, or in none that can be read"
                )
                continue
            if value:
                fields[name] = value
    return fields


_HEADER_FIELDS: dict[str, Callable[[Elements], str]] = {
    "patient_id": lambda elements: elements.identifier("PatientID"),
    "laterality": read_side,
    "view": read_view,
}


def annotation_record(lesion: Lesion, category_id: int) -> dict[str, Any]:
    """The record of a lesion, without ids of its own and of its image."""
    x0, y0, x1, y1 = lesion.box
    record: dict[str, Any] = {
        "category_id": category_id,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
        "origin": lesion.origin,
    }
    if lesion.polygons:
        record["segmentation"] = [polygon.ravel().tolist() for polygon in lesion.polygons]
    return record
