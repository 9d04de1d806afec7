"""The content of a COCO annotation file, its values as they are meant.

The meaning of every value of such a file is decided here; :mod:`medmask.coco.check` finds what is
wrong with it.
"""

from typing import Any

import numpy as np

from medmask.coco.values import (
    as_flag,
    as_given,
    as_id,
    as_label,
    column,
    look_up,
    quadruples,
)
from medmask.utils.json_files import show

_SIDES = {
    "l": "L",
    "left": "L",
    "r": "R",
    "right": "R",
    # no single breast: as if not given (B and U are DICOM's "both" and "unpaired")
    "b": None,
    "both": None,
    "bilateral": None,
    "u": None,
}


class CocoTables:
    """The content of a COCO file, with or without faults.

    Attributes:
        images: records; fields that are not given (null, NaN) are left out. ``id``, ``width`` and
            ``height`` are ints where they are whole numbers, ``laterality`` is "L" or "R".
        categories: records, likewise.
        annotations: columns, see :class:`AnnotationTable`.
    """

    def __init__(self, content: dict[str, list[dict]]) -> None:
        """Take the parsed JSON, which must have passed ``structure_problems``."""
        self.images = [_to_image(record) for record in content["images"]]
        self.categories = [_to_category(record) for record in content["categories"]]
        self.annotations = AnnotationTable(content["annotations"], self.images, self.categories)


class AnnotationTable:
    """The annotations of a file as columns of length A.

    An annotation's own ``area`` is not read: it is that of the box.

    Attributes:
        ids: int or text, None where none is given.
        image_ids: likewise.
        category_ids: likewise.
        crowd_flags: 0 or 1, anything else where it is a fault.
        given_boxes: as the file gives them.
        segmentations: likewise, None where there is none; they are not checked here.
        image_indices: (A,) int64 index of the image in the file's list, -1 if it is unknown.
        category_indices: (A,) int64, likewise.
        boxes: (A, 4) float64 (x, y, width, height), NaN where the file gives no four numbers;
            otherwise as given.
        image_sizes: (A, 2) float64 width and height of the image, infinite where they are unknown.
    """

    def __init__(self, records: list[dict], images: list[dict], categories: list[dict]) -> None:
        self.ids = [as_id(value) for value in column(records, "id")]
        self.image_ids = [as_id(value) for value in column(records, "image_id")]
        self.category_ids = [as_id(value) for value in column(records, "category_id")]
        self.crowd_flags = [as_flag(value) for value in column(records, "iscrowd")]
        self.given_boxes = column(records, "bbox")
        self.segmentations = [as_given(x) or None for x in column(records, "segmentation")]
        self.image_indices = look_up(self.image_ids, column(images, "id"))
        self.category_indices = look_up(self.category_ids, column(categories, "id"))
        self.boxes = quadruples(self.given_boxes)
        sizes = [[_length(image.get(side)) for side in ("width", "height")] for image in images]
        # the row after the last is that of images that are unknown
        self.image_sizes = np.array([*sizes, [np.inf] * 2])[self.image_indices]

    def __len__(self) -> int:
        return len(self.ids)

    def is_crowd(self) -> np.ndarray:
        """Mark the regions to ignore: (A,) bool."""
        return np.array([flag == 1 for flag in self.crowd_flags], dtype=bool)

    def clipped_boxes(self) -> np.ndarray:
        """Cut the boxes to their images; boxes inside keep their very numbers.

        Returns:
            (A, 4) float64 (x, y, width, height).
        """
        corner, side = self.boxes[:, :2], self.boxes[:, 2:]
        far = corner + side
        near_inside, far_inside = corner.clip(min=0), np.minimum(far, self.image_sizes)
        clipped = np.concatenate([near_inside, far_inside - near_inside], axis=1)
        inside = (corner >= 0).all(axis=1) & (far <= self.image_sizes).all(axis=1)
        return np.where(inside[:, None], self.boxes, clipped)

    def label(self, index: int) -> str:
        """Name an annotation in a message."""
        id_ = self.ids[index]
        name = f"annotations[{index}]" if id_ is None else f"annotation {show(id_)}"
        return f"{name} (image {show(self.image_ids[index])})"


def image_label(image: dict) -> str:
    """Name an image record in a message."""
    name = image.get("file_name")
    label = f"image {show(image['id'])}"
    if not isinstance(name, str):
        return label
    return f"{label} ({name if name.isprintable() else show(name)})"


def is_length(value: Any) -> bool:
    """Tell whether a value is a positive whole number, as the side of an image is."""
    return type(value) is int and 0 < value < 2**31


def _length(value: Any) -> float:
    return value if is_length(value) else np.inf


def _to_image(record: dict) -> dict:
    image = {key: as_given(value) for key, value in record.items()}
    for field in ("id", "width", "height"):
        image[field] = as_id(record.get(field))
    image["patient_id"] = as_label(record.get("patient_id"))
    image["laterality"] = _as_side(record.get("laterality"))
    return {key: value for key, value in image.items() if value is not None}


def _as_side(value: Any) -> Any:
    """Interpret a breast side: L or R; None if not given; anything else as it is."""
    label = as_label(value)
    return _SIDES.get(label.lower(), label) if isinstance(label, str) else label


def _to_category(record: dict) -> dict:
    return {"id": as_id(record.get("id")), "name": as_given(record.get("name"))}
