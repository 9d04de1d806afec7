"""Any COCO tree of the user's own, to be split by patient, dealt to folds or reduced in size.

::

    layout    which annotation files are read, and the splits that they tell
    lesions   annotations as lesions

An image without annotations is listed as it is, without a label of the whole image unless its own
record has one; an image without a patient is a patient of its own.
"""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from medmask.coco import read_coco
from medmask.converters.coco_tree.layout import find_annotation_files, read_splits
from medmask.converters.coco_tree.lesions import (
    as_label,
    has_outlines,
    to_lesion,
)
from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
    any_malignant,
)
from medmask.converters.problems import check_size, collect, leave_out_if_faulty
from medmask.errors import InputError
from medmask.images import IMAGE_SUFFIXES
from medmask.utils.json_files import finite_values, read_json

logger = logging.getLogger(__name__)

_FIELDS = ("patient_id", "study_date", "laterality", "view", "density", "birads", "scanner")
_NOT_CARRIED = (
    *("id", "file_name", "width", "height", "malignant", "lesion", "pixel_spacing_mm"),
    *("license", "flickr_url", "coco_url", "date_captured"),
)


def read(raw: Path) -> Contents:
    """List the images of the tree, with all lesions and the tree's own splits."""
    files = find_annotation_files(raw)
    contents = Contents(sources=[*filter(None, [files.whole]), *files.splits.values()])
    for path, split, folder in files.to_read():
        _read_file(path, split, folder, contents)
    if files.whole is None:
        contents.images[:] = _tell_apart(contents.images)
    else:
        with collect(contents.problems):
            split_of = read_splits(files)
            folder = raw / "images"
            contents.images[:] = [
                replace(image, split=split_of.get(os.path.relpath(image.path, folder)))
                for image in contents.images
            ]
    contents.images[:] = _keep_suffixes(contents.images)
    _warn_of_meanings(contents.images, raw)
    return contents


def _read_file(path: Path, split: str | None, folder: Path, contents: Contents) -> None:
    """Add the images of one annotation file."""
    tables = read_coco(path, folder)
    records = read_json(path, "annotation file")["annotations"]
    table = tables.annotations
    boxes, is_crowd = table.clipped_boxes().tolist(), table.is_crowd()
    rows: list[list[int]] = [[] for _ in tables.images]
    for row, index in enumerate(table.image_indices.tolist()):
        rows[index].append(row)
    names = [str(category["name"]) for category in tables.categories]
    _warn_of_masks(records, path)
    for image, own in zip(tables.images, rows, strict=True):
        if is_crowd[own].any():
            reason = "it has a region to ignore (iscrowd), which is no lesion and no background"
            contents.left_out.append(LeftOut(image["file_name"], reason))
            continue
        with leave_out_if_faulty(contents, image["file_name"]):
            file = folder / os.path.normpath(image["file_name"])
            check_size(file, image, path)
            lesions = [
                to_lesion(
                    records[row],
                    boxes[row],
                    names[table.category_indices[row]],
                    is_one_of_several=len(names) > 1,
                    label=f"{table.label(row)} of {path}",
                )
                for row in own
            ]
            contents.images.append(_to_image(file, folder, image, lesions, split, path))


def _to_image(
    file: Path,
    folder: Path,
    record: dict[str, Any],
    lesions: Sequence[Lesion],
    split: str | None,
    path: Path,
) -> SourceImage:
    fields = {key: finite_values(record[key]) for key in _FIELDS if key in record}
    if "patient_id" in fields:
        fields["patient_id"] = str(fields["patient_id"])
    label = f"image {record['file_name']} of {path}"
    malignant, lesion = (as_label(record, field, label) for field in ("malignant", "lesion"))
    _check_labels(malignant, lesion, lesions, label)
    carried = [name for name in record if name not in (*_FIELDS, *_NOT_CARRIED)]
    return SourceImage(
        path=file,
        name=_without_suffix(file.relative_to(folder)).as_posix(),
        pixel_spacing_mm=_spacing(record.get("pixel_spacing_mm"), label),
        malignant=any_malignant(lesions) if malignant is None and lesions else malignant,
        lesion=lesion,
        attributes={name: finite_values(record[name]) for name in carried},
        lesions=tuple(lesions),
        split=split,
        **fields,
    )


def _check_labels(
    malignant: bool | None, lesion: bool | None, lesions: Sequence[Lesion], label: str
) -> None:
    """Refuse labels of an image that deny what is marked on it."""
    denied = [
        field
        for field, is_denied in (
            ("lesion", lesion is False and bool(lesions)),
            ("malignant", malignant is False and any(each.malignant for each in lesions)),
        )
        if is_denied
    ]
    if denied:
        raise InputError(
            f"{label} has the label '{denied[0]}' false, which its annotations contradict: correct "
            "one of them"
        )


def _without_suffix(path: PurePath) -> PurePath:
    """Cut off the suffix of an image; of a name such as 1.2.840.113 the last number is none."""
    return path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path


def _spacing(value: Any, label: str) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= sys.float_info.max:
        raise InputError(
            f"{label} has the pixel_spacing_mm {value!r}, which must be the side of a pixel in "
            "millimeters, above 0; correct it"
        )
    return float(value)


def _tell_apart(images: Sequence[SourceImage]) -> list[SourceImage]:
    """Put the split before the names where folders of splits hold images of the same name."""
    if len({image.name for image in images}) == len({image.path for image in images}):
        return list(images)
    return [replace(image, name=f"{image.split}_{image.name}") for image in images]


def _keep_suffixes(images: Sequence[SourceImage]) -> list[SourceImage]:
    """Leave the suffix in names of files that another file of their folder differs from by it."""
    first: dict[str, Path] = {}
    names = []
    for image in images:
        other = first.setdefault(image.name, image.path)
        is_taken = other != image.path and other.parent == image.path.parent
        names.append(f"{image.name}{image.path.suffix}" if is_taken else image.name)
    return [replace(image, name=name) for image, name in zip(images, names, strict=True)]


def _warn_of_meanings(images: Sequence[SourceImage], raw: Path) -> None:
    """Tell of labels that say nothing of malignancy."""
    lesions = [lesion for image in images for lesion in image.lesions]
    unknown = sum(lesion.malignant is None for lesion in lesions)
    if unknown:
        logger.warning(
            "%d of the %d annotations of %s do not say whether they are malignant, by a field "
            "'malignant' or a category malignant or benign: their images are in no file of "
            "malignant lesions",
            *(unknown, len(lesions), raw),
        )


def _warn_of_masks(records: Sequence[dict[str, Any]], path: Path) -> None:
    others = sum(bool(each.get("segmentation")) and not has_outlines(each) for each in records)
    if others:
        logger.warning(
            "%d annotations of %s have a segmentation that is not polygons: only their boxes are "
            "kept",
            *(others, path),
        )


CONVERTER = Converter("coco_tree", "COCO tree", read, MarkedLesions.UNTOLD)
