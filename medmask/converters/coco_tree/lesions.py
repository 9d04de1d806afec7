"""Annotations of a COCO file as lesions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medmask.coco import as_given, class_of_name, numbers
from medmask.converters.contract import Lesion
from medmask.errors import InputError
from medmask.utils.json_files import finite_values

_MEANINGS = {"malignant": True, "benign": False}
_NOT_CARRIED = (
    *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation", "malignant"),
)


def to_lesion(
    record: Mapping[str, Any],
    box: Sequence[float],
    category: str,
    *,
    is_one_of_several: bool,
    label: str,
) -> Lesion:
    """Make a lesion of an annotation.

    Args:
        record: the annotation as the file gives it.
        box: its (x, y, width, height) within the image.
        category: the name of its category.
        is_one_of_several: whether the file has other categories, so that the name tells something.
        label: names the annotation in messages.

    Raises:
        InputError: its field ``malignant`` is not true or false.
    """
    malignant = as_label(record, "malignant", label)
    x, y, width, height = box
    attributes = {key: value for key, value in record.items() if key not in _NOT_CARRIED}
    if is_one_of_several:
        attributes.setdefault("category", category)
    return Lesion(
        outlines=_outlines(record.get("segmentation")),
        box=(x, y, x + width, y + height),
        malignant=_MEANINGS.get(class_of_name(category)) if malignant is None else malignant,
        attributes=finite_values(
            {key: value for key, value in attributes.items() if as_given(value) is not None}
        ),
    )


def as_label(record: Mapping[str, Any], field: str, label: str) -> bool | None:
    """Interpret a field such as ``malignant``: a flag, or 0 or 1; None if it is not given.

    Args:
        record: an image or an annotation as the file gives it.
        field: its name.
        label: names the record in messages.

    Raises:
        InputError: it is anything else.
    """
    value = as_given(record.get(field))
    if value is None:
        return None
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise InputError(f"{label} has the field '{field}' {value!r}: write true or false")


def has_outlines(record: Mapping[str, Any]) -> bool:
    """Tell whether an annotation's ``segmentation`` is polygons."""
    return bool(_outlines(record.get("segmentation")))


def _outlines(segmentation: Any) -> tuple[np.ndarray, ...]:
    """The polygons, each (N, 2) x, y; empty if it is anything else, as run lengths are."""
    if not isinstance(segmentation, list):
        return ()
    polygons = [numbers(each) if isinstance(each, list) else np.empty(0) for each in segmentation]
    if not all(len(p) >= 6 and len(p) % 2 == 0 and np.isfinite(p).all() for p in polygons):
        return ()
    return tuple(polygon.reshape(-1, 2) for polygon in polygons)
