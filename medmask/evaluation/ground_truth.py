"""Ground truth of a COCO annotation file, or of a registered data set."""

import os
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from medmask.coco import column, read_coco
from medmask.data.catalog import check_registered
from medmask.data.dataset_dicts import box_corners
from medmask.errors import InputError
from medmask.evaluation.structures import GroundTruth, to_xyxy


def read_ground_truth(path: str | os.PathLike) -> GroundTruth:
    """Read a COCO annotation file.

    Image records may carry ``patient_id`` and ``laterality``; annotations may carry ``iscrowd``.
    The images themselves are not looked for, and records need no name and no size of theirs.

    Args:
        path: a JSON object with the lists ``images``, ``annotations`` and ``categories``.

    Returns:
        The images and boxes in the order of the file.

    Raises:
        InputError: if the file is missing, is not JSON, or has problems.
    """
    tables = read_coco(path)
    annotations = tables.annotations
    return GroundTruth(
        image_ids=tuple(column(tables.images, "id")),
        category_ids=tuple(column(tables.categories, "id")),
        category_names=tuple(str(c["name"] or c["id"]) for c in tables.categories),
        boxes=to_xyxy(annotations.clipped_boxes()),
        image_indices=annotations.image_indices,
        category_indices=annotations.category_indices,
        is_crowd=annotations.is_crowd(),
        patients=tuple(column(tables.images, "patient_id")),
        lateralities=tuple(column(tables.images, "laterality")),
        file_names=tuple(column(tables.images, "file_name")),
    )


def ground_truth_of(dataset_name: str) -> GroundTruth:
    """Take the ground truth of a registered data set.

    The file names are relative to the set's image folder where Detectron2's metadata has
    ``image_root``, as they are in the annotation file.

    Args:
        dataset_name: a set in Detectron2's ``DatasetCatalog``, whose category ids are contiguous.

    Returns:
        The images and boxes in the order of the set, with the category ids of its file.

    Raises:
        InputError: no set has this name, it is empty, or several images have one id.
    """
    if not isinstance(dataset_name, str):
        raise InputError(f"an evaluator takes the name of one data set, not {dataset_name!r}")
    check_registered(dataset_name)
    records = DatasetCatalog.get(dataset_name)
    metadata = MetadataCatalog.get(dataset_name)
    if not records:
        raise InputError(f"the data set {dataset_name} is empty, so there is nothing to evaluate")
    image_ids = tuple(record["image_id"] for record in records)
    if len(set(image_ids)) < len(image_ids):
        raise InputError(f"the data set {dataset_name} has several images with the same image_id")
    annotations = [
        (index, annotation)
        for index, record in enumerate(records)
        for annotation in record.get("annotations", [])
    ]
    classes = np.array([a["category_id"] for _, a in annotations], dtype=np.int64)
    names = metadata.get("thing_classes") or [str(i) for i in range(classes.max(initial=0) + 1)]
    dataset_ids = metadata.get("thing_dataset_id_to_contiguous_id") or {
        index: index for index in range(len(names))
    }
    image_root = metadata.get("image_root")
    return GroundTruth(
        image_ids=image_ids,
        category_ids=tuple(sorted(dataset_ids, key=dataset_ids.get)),
        category_names=tuple(names),
        boxes=box_corners([annotation for _, annotation in annotations]),
        image_indices=np.array([index for index, _ in annotations], dtype=np.int64),
        category_indices=classes,
        is_crowd=np.array([a.get("iscrowd", 0) == 1 for _, a in annotations], dtype=bool),
        patients=tuple(record.get("patient_id") for record in records),
        lateralities=tuple(record.get("laterality") for record in records),
        file_names=tuple(_relative_name(record, image_root) for record in records),
    )


def _relative_name(record: dict[str, Any], image_root: str | None) -> str | None:
    name = record.get("file_name")
    return name if name is None or image_root is None else os.path.relpath(name, image_root)
