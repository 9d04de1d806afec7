"""Detections as files: COCO's result format, with the names of images and categories added.

A record is ``{"image_id", "file_name", "category_id", "category_name", "bbox", "score"}``; ``bbox``
is [x, y, width, height] in pixels of the image as it is in its file. Everything in the project that
writes or reads detections does it here.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from medmask.coco import column, numbers, quadruples
from medmask.errors import InputError
from medmask.evaluation.boxes import to_xywh, to_xyxy
from medmask.evaluation.faults import Faults
from medmask.evaluation.identity import find_categories, find_images
from medmask.evaluation.structures import Detections, GroundTruth
from medmask.utils.json_files import read_json, show


def detection_records(
    boxes: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    *,
    image_id: int | str | None,
    file_name: str | None,
    category_ids: Sequence[int | None],
    category_names: Sequence[str],
) -> list[dict[str, Any]]:
    """Write down the detections of one image.

    An image of a registered data set gets the set's own image id, file name (relative to the set's
    image folder) and category ids. For an image that belongs to no set ``image_id`` is None,
    ``file_name`` is its path, and ``category_ids`` are None if the classes' names are all that is
    known: :func:`read_detections` then goes by the names.

    Args:
        boxes: (D, 4) corners (x0, y0, x1, y1) in pixels of the image.
        scores: (D,) in [0, 1].
        classes: (D,) class indices, counted from 0.
        image_id: of the image, or None.
        file_name: of the image, or None.
        category_ids: of each class.
        category_names: of each class.

    Returns:
        D records of JSON values, in the order of the boxes.
    """
    sides = to_xywh(np.asarray(boxes, dtype=np.float64).reshape(-1, 4))
    return [
        {
            "image_id": image_id,
            "file_name": file_name,
            "category_id": category_ids[index],
            "category_name": category_names[index],
            "bbox": box,
            "score": score,
        }
        for index, box, score in zip(
            np.asarray(classes).tolist(),
            sides.tolist(),
            np.asarray(scores, dtype=np.float64).tolist(),
            strict=True,
        )
    ]


def detections_to_coco(ground_truth: GroundTruth, detections: Detections) -> list[dict[str, Any]]:
    """The records that :func:`read_detections` reads, in the order of the detections."""
    order = np.argsort(detections.image_indices, kind="stable")
    bounds = np.searchsorted(
        detections.image_indices[order], np.arange(ground_truth.num_images + 1)
    )
    file_names = ground_truth.file_names or (None,) * ground_truth.num_images
    records: list[dict[str, Any]] = [{}] * len(detections)
    for image in range(ground_truth.num_images):
        places = order[bounds[image] : bounds[image + 1]]
        of_image = detection_records(
            detections.boxes[places],
            detections.scores[places],
            detections.category_indices[places],
            image_id=ground_truth.image_ids[image],
            file_name=file_names[image],
            category_ids=ground_truth.category_ids,
            category_names=ground_truth.category_names,
        )
        for place, record in zip(places.tolist(), of_image, strict=True):
            records[place] = record
    return records


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
            ids, malformed boxes, scores that are not in [0, 1].
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
