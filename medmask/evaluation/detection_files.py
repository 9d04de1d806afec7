"""Detections as files: COCO's result format, with the names of images and categories added.

A record is ``{"image_id", "file_name", "category_id", "category_name", "bbox", "score"}``; ``bbox``
is [x, y, width, height] in pixels of the image as it is in its file.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from medmask.coco import column, numbers, quadruples
from medmask.coco.annotation_check import OVERHANG_TOLERANCE
from medmask.errors import InputError
from medmask.evaluation.boxes import to_xywh, to_xyxy
from medmask.evaluation.faults import Faults
from medmask.evaluation.identity import find_categories, find_images
from medmask.evaluation.structures import Detections, GroundTruth, given_category_names
from medmask.utils.json_files import read_json, show

_FEW_BOXES = 2
"""So many are too little evidence of another form of all boxes of a file."""


def detections_to_coco(ground_truth: GroundTruth, detections: Detections) -> list[dict[str, Any]]:
    """The records that :func:`read_detections` reads, in the order of the detections."""
    file_names = ground_truth.file_names or (None,) * ground_truth.num_images
    category_names = given_category_names(ground_truth)
    return [
        {
            "image_id": ground_truth.image_ids[image],
            "file_name": file_names[image],
            "category_id": ground_truth.category_ids[category],
            "category_name": category_names[category],
            "bbox": box,
            "score": score,
        }
        for image, category, box, score in zip(
            detections.image_indices.tolist(),
            detections.category_indices.tolist(),
            to_xywh(detections.boxes).tolist(),
            detections.scores.tolist(),
            strict=True,
        )
    ]


def read_detections(path: str | os.PathLike, ground_truth: GroundTruth) -> Detections:
    """Read detections in COCO's result format.

    Which image and which category a record means is told by ids or by names, by the rule of
    :mod:`medmask.evaluation.identity`; ids without names will do.

    Args:
        path: a JSON list of records, see above; it may be empty.
        ground_truth: the set that the detections were made on.

    Returns:
        The detections in the order of the file.

    Raises:
        InputError: if the file is missing, is not JSON, or has faults (all of them are named):
            images or categories that the ground truth does not have, names that contradict the
            ids, malformed boxes, scores that are not in [0, 1]; or if all boxes are evidently of
            another form, such as corners.
    """
    records = read_json(path, "detection file")
    if not isinstance(records, list):
        raise InputError(
            f"{path}: detections are a JSON list of "
            '{"image_id", "category_id", "bbox", "score"} records, this is not a list'
        )
    faults = Faults(path)
    faults.add_where(
        np.array([not isinstance(record, dict) for record in records], dtype=bool),
        lambda i: f"record {i} is not an object",
    )
    faults.raise_if_any()
    image_indices = find_images(records, ground_truth, faults)
    category_indices = find_categories(records, ground_truth, faults)
    boxes = _read_boxes(records, faults)
    scores = _read_scores(records, faults)
    faults.raise_if_any()
    _check_form(boxes, image_indices, ground_truth, faults)
    faults.raise_if_any()
    return Detections(boxes, scores, image_indices, category_indices)


def _read_boxes(records: Sequence[dict], faults: Faults) -> np.ndarray:
    """(R, 4) corners."""
    told = column(records, "bbox")
    sides = quadruples(told)
    boxes = to_xyxy(sides)
    malformed = ~np.isfinite(boxes).all(axis=1)
    faults.add_where(
        malformed,
        lambda i: (
            f"record {i}: bbox {show(told[i])} is not [x, y, width, height] of finite numbers"
        ),
    )
    faults.add_where(
        ~malformed & (sides[:, 2:] < 0).any(axis=1),
        lambda i: f"record {i}: bbox {show(told[i])} has a negative width or height",
    )
    return boxes


def _check_form(
    boxes: np.ndarray, image_indices: np.ndarray, ground_truth: GroundTruth, faults: Faults
) -> None:
    """Find boxes that are evidently shares of the sides, or corners, which would all be misses.

    Args:
        boxes: (R, 4) corners, as the boxes are meant to be told.
        image_indices: (R,) of the images.
        ground_truth: with the sizes of the images, or without.
        faults: is told of the fault.
    """
    if len(boxes) <= _FEW_BOXES or ground_truth.image_sizes is None:
        return
    near, told = boxes[:, :2], to_xywh(boxes)[:, 2:]  # if these are corners: the far ones
    sizes = ground_truth.image_sizes[image_indices]
    if (near <= 1).all() and (told <= 1).all() and (told > 0).any() and (sizes > 1).all():
        faults.add(
            "no number of any box is above 1: they look like shares of width and height; write "
            "pixels"
        )
    is_outside = (boxes[:, 2:] > sizes + OVERHANG_TOLERANCE).any(axis=1)
    fits_as_corners = (near <= told).all() and (told <= sizes + OVERHANG_TOLERANCE).all()
    if fits_as_corners and 2 * np.count_nonzero(is_outside) > len(boxes):
        faults.add(
            f"{np.count_nonzero(is_outside)} of {len(boxes)} boxes reach out of their images, and "
            "none would as [x0, y0, x1, y1]: write [x, y, width, height]"
        )


def _read_scores(records: Sequence[dict], faults: Faults) -> np.ndarray:
    """(R,) in [0, 1]."""
    told = column(records, "score")
    scores = numbers(told)
    usable = (scores >= 0) & np.isfinite(scores)
    faults.add_where(
        ~usable, lambda i: f"record {i}: score {show(told[i])} is not a finite number of at least 0"
    )
    faults.add_where(
        usable & (scores > 1),
        lambda i: f"record {i}: score {show(told[i])} is above 1; divide percentages by 100",
    )
    return scores
