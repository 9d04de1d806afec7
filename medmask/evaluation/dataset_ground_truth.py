"""Ground truth of a data set that is registered with Detectron2."""

import os
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from medmask.data.catalog import check_registered
from medmask.data.dataset_dicts import box_corners
from medmask.errors import InputError
from medmask.evaluation.structures import GroundTruth, to_image_sizes


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
    dataset_dicts = DatasetCatalog.get(dataset_name)
    metadata = MetadataCatalog.get(dataset_name)
    if not dataset_dicts:
        raise InputError(f"the data set {dataset_name} is empty, so there is nothing to evaluate")
    image_ids = tuple(dataset_dict["image_id"] for dataset_dict in dataset_dicts)
    if len(set(image_ids)) < len(image_ids):
        raise InputError(f"the data set {dataset_name} has several images with the same image_id")
    annotations = [
        (index, annotation)
        for index, dataset_dict in enumerate(dataset_dicts)
        for annotation in dataset_dict.get("annotations", [])
    ]
    classes = np.array([a["category_id"] for _, a in annotations], dtype=np.int64)
    names = metadata.get("thing_classes") or [str(i) for i in range(classes.max(initial=0) + 1)]
    dataset_ids = metadata.get("thing_dataset_id_to_contiguous_id") or {
        index: index for index in range(len(names))
    }
    image_root = metadata.get("image_root")
    return GroundTruth(
        image_ids=image_ids,
        category_ids=tuple(sorted(dataset_ids, key=dataset_ids.__getitem__)),
        category_names=tuple(names),
        boxes=box_corners([annotation for _, annotation in annotations]),
        image_indices=np.array([index for index, _ in annotations], dtype=np.int64),
        category_indices=classes,
        is_crowd=np.array([a.get("iscrowd", 0) == 1 for _, a in annotations], dtype=bool),
        patients=tuple(each.get("patient_id") for each in dataset_dicts),
        lateralities=tuple(each.get("laterality") for each in dataset_dicts),
        file_names=tuple(_relative_name(each, image_root) for each in dataset_dicts),
        image_sizes=to_image_sizes(
            [each.get("width") for each in dataset_dicts],
            [each.get("height") for each in dataset_dicts],
        ),
    )


def _relative_name(dataset_dict: dict[str, Any], image_root: str | None) -> str | None:
    name = dataset_dict.get("file_name")
    return name if name is None or image_root is None else os.path.relpath(name, image_root)
