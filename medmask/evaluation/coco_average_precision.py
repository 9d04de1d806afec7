"""COCO's average precision of boxes, beside the FROC analysis."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from medmask.evaluation.boxes import to_xywh
from medmask.evaluation.structures import Detections, GroundTruth

_MOST_DETECTIONS = 100
"""of an image and a category, those of the highest scores"""


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision (AP) in [0, 1]; NaN where the set has no such lesion.

    Attributes:
        ap: mean over IoU thresholds of 0.50 to 0.95, and over the categories.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ap_small: as ``ap``, of lesions below 32 x 32 pixels in area.
        ap_medium: from there to 96 x 96.
        ap_large: above.
        categories: C values, ``ap`` of each category by itself.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    categories: tuple[float, ...]


def average_precision(ground_truth: GroundTruth, detections: Detections) -> AveragePrecision:
    """COCO's protocol: no further suppression, the 100 highest scores of each image and category.

    Args:
        ground_truth: lesions and ignored regions (iscrowd).
        detections: the scored boxes as the detector gave them.
    """
    is_crowd = ground_truth.is_crowd
    annotations = _rows(
        ground_truth.image_indices, ground_truth.category_indices, ground_truth.boxes
    )
    found = _rows(detections.image_indices, detections.category_indices, detections.boxes)
    for row, crowd in zip(annotations, is_crowd.tolist(), strict=True):
        row["iscrowd"] = int(crowd)
    for row, score in zip(found, detections.scores.tolist(), strict=True):
        row["score"] = score
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress by print
        evaluation = COCOeval(
            _index(ground_truth, annotations), _index(ground_truth, found), "bbox"
        )
        evaluation.params.maxDets = [_MOST_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU thresholds from 0.50 to 0.95, recalls, categories, areas: all, small, medium, large)
    precision = evaluation.eval["precision"][..., 0]
    all_areas = precision[..., 0]
    return AveragePrecision(
        ap=_mean(all_areas),
        ap50=_mean(all_areas[0]),
        ap75=_mean(all_areas[5]),
        ap_small=_mean(precision[..., 1]),
        ap_medium=_mean(precision[..., 2]),
        ap_large=_mean(precision[..., 3]),
        categories=tuple(_mean(of_category) for of_category in all_areas.transpose(2, 0, 1)),
    )


def _mean(precision: np.ndarray) -> float:
    """The mean precision, in which pycocotools marks categories without a lesion by -1."""
    defined = precision[precision > -1]
    return float(np.mean(defined)) if len(defined) else float("nan")


def _index(ground_truth: GroundTruth, rows: list[dict[str, Any]]) -> COCO:
    """Boxes as pycocotools holds them."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": index} for index in range(ground_truth.num_images)],
        "categories": [{"id": index} for index in range(len(ground_truth.category_ids))],
        "annotations": rows,
    }
    coco.createIndex()
    return coco


def _rows(
    image_indices: np.ndarray, category_indices: np.ndarray, boxes: np.ndarray
) -> list[dict[str, Any]]:
    """Boxes as COCO's annotations, with ids of our own.

    Ids in files may be missing or 0, which pycocotools takes for "unmatched": lesions would be lost
    without a word.
    """
    return [
        {
            "id": index + 1,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for index, (image, category, box) in enumerate(
            zip(
                image_indices.tolist(),
                category_indices.tolist(),
                to_xywh(boxes).tolist(),
                strict=True,
            )
        )
    ]
