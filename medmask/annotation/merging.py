"""Corrected annotations in the place of those that a COCO set has."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medmask.annotation.coco_set import annotation_record, image_record
from medmask.annotation.corrections import Correction
from medmask.coco import as_id, class_of_name, read_coco
from medmask.coco.values import as_flag
from medmask.errors import InputError
from medmask.utils.json_files import read_json

_MALIGNANT = "malignant"
"""Name of the class, and of the field of image records that tells the label of the whole image."""
_LESION = "lesion"
"""The field of image records that tells whether the image shows any lesion."""


def merge_into_set(
    corrections: Sequence[Correction],
    json_file: Path,
    image_root: Path,
    classes: Sequence[str],
    notes: list[str],
) -> dict[str, Any]:
    """Put corrections into the content of an annotation file.

    An image of the set keeps its record; what it had of annotations is replaced by the reader's,
    except regions to ignore and lesions of classes that readers could not mark. An image with an id
    of its data set is found by that, any other by its file; one that the set does not have is
    added. All else stays as it is, but that an image in which a reader marked a lesion is no longer
    told to show no ``lesion``, or, if it is a malignant one, not to be ``malignant``.

    Args:
        corrections: of the images that were reviewed.
        json_file: the set's annotation file.
        image_root: folder that its file names are relative to.
        classes: that the readers could mark; annotations of others stay.
        notes: as for :func:`medmask.annotation.coco_set.make_coco_set`, on images that are added.

    Raises:
        InputError: the file has problems, or the id of an image is that of another file in it.
    """
    _check_set(json_file, image_root)
    content = read_json(json_file, "annotation file")
    records = _Records(content["images"], json_file, image_root, notes)
    owners = [records.find_or_add(correction) for correction in corrections]
    reviewed = set(owners)
    categories = list(content["categories"])
    names = {as_id(x["id"]): class_of_name(x["name"]) for x in categories}
    offered = {class_of_name(name) for name in classes}

    kept, num_others = [], 0
    for record in content["annotations"]:
        if as_id(record["image_id"]) not in reviewed or as_flag(record.get("iscrowd")) == 1:
            kept.append(record)
        elif names[as_id(record["category_id"])] not in offered:
            kept.append(record)
            num_others += 1
    if num_others:
        notes.append(
            f"{num_others} annotations of reviewed images are of classes that the readers could "
            f"not mark, and stay as they are in {json_file}"
        )
    ids = {class_of_name(category["name"]): category["id"] for category in categories}
    next_id = _next_id(x.get("id") for x in content["annotations"])
    added: list[dict[str, Any]] = []
    for image_id, correction in zip(owners, corrections, strict=True):
        for lesion in correction.lesions:
            name = class_of_name(lesion.label)
            records.contradict_denial(image_id, _LESION)
            if name == _MALIGNANT:
                records.contradict_denial(image_id, _MALIGNANT)
            if name not in ids:
                ids[name] = _next_id(ids.values())
                categories.append({"id": ids[name], "name": lesion.label})
            record = annotation_record(lesion, ids[name])
            added.append({"id": next_id + len(added), "image_id": image_id} | record)
    return content | {
        "images": records.records,
        "annotations": [*kept, *added],
        "categories": categories,
    }


def _check_set(json_file: Path, image_root: Path) -> None:
    """Refuse a faulty file, and one whose images are not in the folder."""
    read_coco(json_file)
    try:
        read_coco(json_file, image_root)
    except InputError as error:
        raise InputError(
            f"{error}\n(if {image_root} is not the folder that its file names are relative to, "
            "name that with --images)"
        ) from None


class _Records:
    """The image records of a set, by their ids and by their files."""

    def __init__(
        self, records: list[dict[str, Any]], json_file: Path, image_root: Path, notes: list[str]
    ) -> None:
        self.records = list(records)
        self._json_file, self._image_root, self._notes = json_file, image_root, notes
        self._by_id = {as_id(record["id"]): record for record in records}
        self._ids_of_texts = {str(id_): id_ for id_ in self._by_id}  # manifests in CSV have texts
        self._by_file = {self._file_of(record): record for record in records}

    def find_or_add(self, correction: Correction) -> int | str:
        """The id of an image's record."""
        image = correction.image
        source = os.path.realpath(image.source)
        if image.image_id is None:
            record = self._by_file.get(source)
            return self._add(correction) if record is None else as_id(record["id"])
        image_id = image.image_id
        if isinstance(image_id, str) and image_id not in self._by_id:
            image_id = self._ids_of_texts.get(image_id, image_id)
        record = self._by_id.get(image_id)
        if record is None:
            raise InputError(
                f"{self._json_file} has no image of the id {image.image_id!r}, which "
                f"{image.source} has in its data set: name the file of that set"
            )
        if self._file_of(record) != source:
            raise InputError(
                f"the image of the id {image.image_id!r} is {self._file_of(record)} in "
                f"{self._json_file}, but {image.source} was annotated: name the file of that set, "
                "and its image folder by --images"
            )
        return image_id

    def contradict_denial(self, image_id: int | str, field: str) -> None:
        """Have a label of an image, if it has it, say that the image shows what a reader marked.

        The other way round nothing follows: a label may come from pathology, and a lesion be
        invisible.
        """
        record = self._by_id[image_id]
        if record.get(field) == 0:  # false, too; not NaN, which is not given
            record[field] = True

    def _add(self, correction: Correction) -> int:
        image_id = _next_id(self._by_id)
        record = image_record(correction, image_id, self._image_root, self._notes)
        self.records.append(record)
        self._by_id[image_id] = record
        return image_id

    def _file_of(self, record: dict[str, Any]) -> str:
        return os.path.realpath(self._image_root / record["file_name"])


def _next_id(ids: Any) -> int:
    """A whole number above all that are there."""
    return max((x for x in map(as_id, ids) if type(x) is int), default=0) + 1
