"""Detectron2's dataset dicts: loading them from a COCO file, and reading what is in one.

A dataset dict stands for one image: ``file_name``, ``image_id``, ``height``, ``width``,
``annotations``, and whatever else the annotation file says of the image.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from medmask.coco import map_categories, read_coco
from medmask.errors import InputError
from medmask.images import read_image

_NOT_CARRIED = ("id", "license", "flickr_url", "coco_url", "date_captured")


def load_coco(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    thing_classes: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Load a data set after checking it.

    Images without annotations stay: most mammograms are negative. All other fields of an image
    (``patient_id``, ``view``, ``laterality``, ...) are carried over.

    Args:
        json_file: a COCO annotation file.
        image_root: the folder that the file names are relative to.
        thing_classes: the classes, see :func:`medmask.coco.map_categories`.

    Returns:
        Dataset dicts; each of the ``annotations`` has ``bbox`` ([x, y, width, height], within the
        image), ``bbox_mode``, ``category_id`` (contiguous) and ``iscrowd``, and COCO's
        ``segmentation`` as the file gives it, if it does.

    Raises:
        InputError: the file has problems; the message lists the first of them.
    """
    tables = read_coco(json_file, image_root, thing_classes)
    dataset_dicts = [_to_dataset_dict(image, image_root) for image in tables.images]
    annotations = tables.annotations
    classes = map_categories(tables.categories, thing_classes)
    for image_index, category_id, box, is_crowd, segmentation in zip(
        annotations.image_indices.tolist(),
        annotations.category_ids,
        annotations.clipped_boxes().tolist(),
        annotations.is_crowd().tolist(),
        annotations.segmentations,
        strict=True,
    ):
        annotation = {
            "bbox": box,
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": classes[category_id],
            "iscrowd": int(is_crowd),
        }
        if segmentation is not None:
            annotation["segmentation"] = segmentation
        dataset_dicts[image_index]["annotations"].append(annotation)
    return dataset_dicts


def read_dataset_image(dataset_dict: dict[str, Any], *, apply_voi: bool = True) -> np.ndarray:
    """Read the image of a dataset dict.

    Args:
        dataset_dict: of the image.
        apply_voi: as for :func:`medmask.data.read_image`.

    Returns:
        (H, W, 3) RGB in [0, 255], see :func:`medmask.data.read_image`.

    Raises:
        InputError: it cannot be read, or has another size than the dataset dict says.
    """
    image = read_image(dataset_dict["file_name"], apply_voi=apply_voi)
    height, width = image.shape[:2]
    if (height, width) != (dataset_dict["height"], dataset_dict["width"]):
        raise InputError(
            f"image {dataset_dict['file_name']} is {width} x {height} (width x height), but the "
            f"annotation file says {dataset_dict['width']} x {dataset_dict['height']}"
            f"{advise_on_turned_size((height, width), dataset_dict)}; run medmask check-data to "
            "find all such images and correct the file"
        )
    return image


def advise_on_turned_size(size: tuple[int, int], record: dict[str, Any]) -> str:
    """Say what makes an image's (height, width) the other way round in the annotation file."""
    if size != (record["width"], record["height"]):
        return ""
    return " (the sides are exchanged; an image with an EXIF orientation is turned as that says)"


def box_corners(annotations: Sequence[dict[str, Any]]) -> np.ndarray:
    """Take the boxes of annotations, never rounded to the float32 of a tensor.

    Args:
        annotations: of one or several dataset dicts, each with ``bbox`` and ``bbox_mode``.

    Returns:
        (T, 4) float64 corners (x0, y0, x1, y1) in pixels.
    """
    boxes = np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4)
    modes = np.array([int(a["bbox_mode"]) for a in annotations])
    for mode in np.unique(modes).tolist():
        of_mode = modes == mode
        boxes[of_mode] = BoxMode.convert(boxes[of_mode], BoxMode(mode), BoxMode.XYXY_ABS)
    return boxes


def has_lesions(dataset_dict: dict[str, Any]) -> bool:
    """Tell whether an image has annotations other than regions to ignore (``iscrowd``)."""
    return not all(annotation.get("iscrowd", 0) for annotation in dataset_dict["annotations"])


def patient_of(dataset_dict: dict[str, Any]) -> str:
    """Name the patient of an image; an image without ``patient_id`` is a patient of its own."""
    if dataset_dict.get("patient_id") is not None:
        return f"patient {dataset_dict['patient_id']}"
    return f"image {dataset_dict['image_id']}"


def _to_dataset_dict(image: dict[str, Any], image_root: str | os.PathLike) -> dict[str, Any]:
    return {
        **{key: value for key, value in image.items() if key not in _NOT_CARRIED},
        "file_name": str(Path(image_root, image["file_name"])),
        "image_id": image["id"],
        "annotations": [],
    }
