"""Reading ground truth from COCO-format files.

Files come from many tools. Everything that a metric relies on is checked, and all faults of a file
are reported at once.
"""

import os

import numpy as np

from medmask.data.coco_values import column, numbers, show
from medmask.errors import InputError
from medmask.evaluation.faults import Faults
from medmask.evaluation.records import BoxTable
from medmask.evaluation.structures import GroundTruth
from medmask.utils.json_files import read_json


def read_ground_truth(path: str | os.PathLike) -> GroundTruth:
    """Read a COCO annotation file.

    Image records may carry ``patient_id`` and ``laterality``; annotations may carry ``iscrowd``.

    Args:
        path: a JSON object with the lists ``images``, ``annotations`` and ``categories``.

    Returns:
        The images and boxes in the order of the file.

    Raises:
        InputError: if the file is missing, is not JSON, or has faults (all of them are named).
    """
    content = read_json(path, "annotation file")
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: a COCO annotation file is a JSON object, this is a list or value"
        )
    faults = Faults(path)
    images = _records(content, "images", faults)
    annotations = _records(content, "annotations", faults)
    categories = _records(content, "categories", faults)
    faults.raise_if_any()

    image_ids, category_ids = column(images, "id"), column(categories, "id")
    _check_ids("images", image_ids, faults)
    _check_ids("categories", category_ids, faults)
    _check_images(images, faults)
    faults.raise_if_any()
    if not images:
        raise InputError(f"{path}: the list 'images' is empty, so there is nothing to evaluate")

    names = [annotation.get("id", f"at index {i}") for i, annotation in enumerate(annotations)]
    table = BoxTable(annotations, lambda i: f"annotation {names[i]}", image_ids, category_ids)
    table.check(faults, allow_empty_boxes=False)
    crowd = numbers([annotation.get("iscrowd", 0) for annotation in annotations])
    faults.add_where(
        ~np.isin(crowd, (0, 1)), lambda i: f"annotation {names[i]}: iscrowd is neither 0 nor 1"
    )
    faults.raise_if_any()
    return GroundTruth(
        image_ids=tuple(image_ids),
        category_ids=tuple(category_ids),
        category_names=tuple(str(c.get("name", c["id"])) for c in categories),
        boxes=table.boxes,
        image_indices=table.image_indices,
        category_indices=table.category_indices,
        is_crowd=crowd == 1,
        patients=tuple(column(images, "patient_id")),
        lateralities=tuple(column(images, "laterality")),
        file_names=tuple(column(images, "file_name")),
    )


def _records(content: dict, key: str, faults: Faults) -> list[dict]:
    records = content.get(key)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        faults.add(f"'{key}' is missing or is not a list of objects")
        return []
    return records


def _check_ids(kind: str, ids: list, faults: Faults) -> None:
    valid = [isinstance(value, str | int) for value in ids]
    faults.add_where(
        ~np.array(valid, dtype=bool), lambda i: f"{kind}[{i}]: id {show(ids[i])} is not an id"
    )
    if all(valid):
        first = {value: i for i, value in reversed(list(enumerate(ids)))}
        faults.add_where(
            np.array([first[value] != i for i, value in enumerate(ids)], dtype=bool),
            lambda i: f"{kind}[{i}]: id {ids[i]!r} is that of {kind}[{first[ids[i]]}] too",
        )


def _check_images(images: list[dict], faults: Faults) -> None:
    for field in ("width", "height"):
        sizes = [image.get(field, 1) for image in images]
        faults.add_where(
            ~(numbers(sizes) > 0),
            lambda i, field=field, sizes=sizes: (
                f"images[{i}]: {field} {show(sizes[i])} is not a positive number"
            ),
        )
    for field in ("patient_id", "laterality"):
        values = column(images, field)
        faults.add_where(
            np.array([not isinstance(value, str | int | None) for value in values], dtype=bool),
            lambda i, field=field, values=values: (
                f"images[{i}]: {field} {show(values[i])} is neither text nor a whole number"
            ),
        )
