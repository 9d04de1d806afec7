"""COCO annotation files of a converted data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medmask.converters.contract import LeftOut, Lesion, MarkedLesions, SourceImage
from medmask.converters.image_files import WrittenImage
from medmask.converters.regions import Region

_RECORD_FIELDS = (
    "patient_id",
    "study_date",
    "laterality",
    "view",
    "density",
    "birads",
    "scanner",
    "malignant",
)


@dataclass(frozen=True)
class ConvertedImage:
    """An image on the disk, with its source.

    Attributes:
        id: in annotation files, the same in all of them.
        source: what the set says of it.
        written: where it is.
    """

    id: int
    source: SourceImage
    written: WrittenImage


def find_unknown(
    images: Sequence[ConvertedImage], label: str, marked: MarkedLesions
) -> dict[str, LeftOut]:
    """Find images that are neither positive nor negative for a label, by name.

    Args:
        images: all of a set.
        label: of :data:`~medmask.converters.parts.LABELS`.
        marked: the lesions that the set marks.
    """
    unknown = {}
    for image in images:
        reason = _why_unknown(image.source, label, marked)
        if reason:
            unknown[image.source.name] = LeftOut(image.source.name, reason)
    return unknown


def make_document(
    images: Sequence[ConvertedImage], label: str, description: str, marked: MarkedLesions
) -> dict[str, Any]:
    """The content of an annotation file.

    Args:
        images: those to list.
        label: the class: ``malignant`` takes malignant lesions, ``lesion`` all.
        description: one line about the file.
        marked: the lesions that the set marks.
    """
    records, annotations = [], []
    for image in images:
        label_of_image = {"lesion": _shows_lesion(image.source, marked)}
        records.append(_to_record(image) | _given(label_of_image))
        for lesion, regions in zip(image.source.lesions, image.written.regions, strict=True):
            if label == "lesion" or lesion.malignant:
                annotations += [_to_annotation(image.id, lesion, region) for region in regions]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    return {
        "info": {"description": description},
        "images": records,
        "annotations": annotations,
        "categories": [{"id": 1, "name": label}],
    }


def _why_unknown(source: SourceImage, label: str, marked: MarkedLesions) -> str | None:
    if marked is MarkedLesions.NONE:
        return None
    if not source.lesions:
        return _why_unknown_without_marks(source, label, marked)
    if label == "lesion":
        return None
    if any(lesion.malignant is None for lesion in source.lesions):
        return "it is not told whether its lesion is malignant"
    if source.malignant and not any(lesion.malignant for lesion in source.lesions):
        return "it is malignant, but no malignant lesion is marked"
    return None


def _why_unknown_without_marks(
    source: SourceImage, label: str, marked: MarkedLesions
) -> str | None:
    if source.malignant:
        return "it is malignant, but no lesion is marked"
    if source.lesion and (label == "lesion" or source.malignant is None):
        return "it shows a lesion, but none is marked"
    if source.malignant is None and marked is not MarkedLesions.UNTOLD:
        return "it is not told whether it shows a lesion"
    return None


def _to_record(image: ConvertedImage) -> dict[str, Any]:
    source, written = image.source, image.written
    record = {
        "id": image.id,
        "file_name": written.file_name,
        "width": written.width,
        "height": written.height,
    }
    record |= _given({name: getattr(source, name) for name in _RECORD_FIELDS})
    if written.pixel_spacing_mm is not None:
        spacing = written.pixel_spacing_mm * written.source_width / written.width
        record["pixel_spacing_mm"] = round(spacing, 6)
    return {**_given(source.attributes), **record}


def _shows_lesion(source: SourceImage, marked: MarkedLesions) -> bool | None:
    """Tell if an image shows a lesion, benign or malignant; None where the set does not say."""
    if source.lesions or source.malignant:
        return True
    if source.lesion is not None or marked is not MarkedLesions.ALL:
        return source.lesion
    return None if _why_unknown(source, "lesion", marked) else False


def _to_annotation(image_id: int, lesion: Lesion, region: Region) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "id": 0,
        "image_id": image_id,
        "category_id": 1,
        "bbox": list(region.box),
        "area": round(region.box[2] * region.box[3], 2),
        "iscrowd": 0,
    }
    if region.polygons:
        annotation["segmentation"] = [list(polygon) for polygon in region.polygons]
    return (
        annotation
        | _given({"malignant": lesion.malignant})
        | {key: value for key, value in _given(lesion.attributes).items() if key not in annotation}
    )


def _given(fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
