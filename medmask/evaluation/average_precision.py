"""COCO's average precision of boxes, beside the FROC analysis."""

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from medmask.evaluation.structures import Detections, GroundTruth, to_xywh


@dataclass(frozen=True)
class AveragePrecision:
    """AP over IoU 0.50 to 0.95, at 0.50 and at 0.75, in [0, 1]; NaN if the set has no lesion."""

    ap: float
    ap50: float
    ap75: float


def average_precision(ground_truth: GroundTruth, detections: Detections) -> AveragePrecision:
    """COCO's protocol: no further suppression, the 100 highest scores of each image and category.

    Args:
        ground_truth: lesions and ignored regions (iscrowd).
        detections: the scored boxes as the detector gave them.
    """
    if ground_truth.num_lesions == 0:
        return AveragePrecision(float("nan"), float("nan"), float("nan"))
    if len(detections) == 0:
        return AveragePrecision(0.0, 0.0, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress by print
        truth = _coco_index(ground_truth)
        found = truth.loadRes(_result_rows(detections))
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return AveragePrecision(*(float(value) for value in evaluation.stats[:3]))


def _coco_index(ground_truth: GroundTruth) -> COCO:
    """Ground truth as pycocotools holds it, with ids of our own.

    Ids in files may repeat or be 0, which pycocotools takes for "unmatched": lesions would be lost
    without a word.
    """
    boxes = to_xywh(ground_truth.boxes)
    coco = COCO()
    coco.dataset = {
        "images": [{"id": index} for index in range(ground_truth.num_images)],
        "categories": [
            {"id": index, "name": name} for index, name in enumerate(ground_truth.category_names)
        ],
        "annotations": [
            {
                "id": index + 1,
                "image_id": int(ground_truth.image_indices[index]),
                "category_id": int(ground_truth.category_indices[index]),
                "bbox": box.tolist(),
                "area": float(box[2] * box[3]),
                "iscrowd": int(ground_truth.is_crowd[index]),
            }
            for index, box in enumerate(boxes)
        ],
    }
    coco.createIndex()
    return coco


def _result_rows(detections: Detections) -> np.ndarray:
    """(D, 7) rows of image, x, y, width, height, score, category, which ``COCO.loadRes`` takes."""
    return np.column_stack(
        [
            detections.image_indices,
            to_xywh(detections.boxes),
            detections.scores,
            detections.category_indices,
        ]
    )
