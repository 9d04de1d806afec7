"""COCO's average precision of boxes, beside the FROC analysis.

The figures are those of ``COCOeval`` in pycocotools, digit by digit, in a fraction of its time.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from medmask.evaluation.coco_matching import AREA_RANGES, IOU_THRESHOLDS, match_by_coco
from medmask.evaluation.structures import Detections, GroundTruth

_RECALLS = np.linspace(0, 1, 101)

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
    precision = _precision(ground_truth, _highest_scores(ground_truth, detections))
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


def _highest_scores(ground_truth: GroundTruth, detections: Detections) -> Detections:
    """The detections that count, by image and category, in falling order of scores."""
    images = _places_by_id(ground_truth.image_ids)[detections.image_indices]
    categories = detections.category_indices
    order = np.lexsort((-detections.scores, categories, images))  # stable, the last key first
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (np.diff(images[order]) != 0) | (np.diff(categories[order]) != 0)
    position = np.arange(len(order))
    rank = position - np.maximum.accumulate(np.where(is_first, position, 0))
    return detections.select(order[rank < _MOST_DETECTIONS])


def _places_by_id(image_ids: Sequence[Hashable]) -> np.ndarray:
    """(N,) int64 place of each image where they stand by id, as pycocotools goes through them."""
    order = sorted(range(len(image_ids)), key=lambda i: (type(image_ids[i]).__name__, image_ids[i]))
    return np.argsort(order)


def _precision(ground_truth: GroundTruth, detections: Detections) -> np.ndarray:
    """Precision at each recall.

    Returns:
        (IoU thresholds, recalls, categories, area ranges) in [0, 1], NaN where a category has no
        lesion in the range.
    """
    matches = match_by_coco(ground_truth, detections)
    num_categories = len(ground_truth.category_ids)
    shape = (len(IOU_THRESHOLDS), len(_RECALLS), num_categories, len(AREA_RANGES))
    precision = np.full(shape, np.nan)
    for category in range(num_categories):
        in_category = ground_truth.category_indices == category
        num_lesions = np.count_nonzero(matches.counted_lesions[in_category], axis=0)
        found = np.flatnonzero(detections.category_indices == category)
        # Equal scores stay in the order of the images; the sort must be stable.
        found = found[np.argsort(-detections.scores[found], kind="stable")]
        for area in np.flatnonzero(num_lesions):
            for threshold in range(len(IOU_THRESHOLDS)):
                precision[threshold, :, category, area] = _precision_at_recalls(
                    matches.true_positives[found, area, threshold],
                    matches.false_positives[found, area, threshold],
                    int(num_lesions[area]),
                )
    return precision


def _precision_at_recalls(
    is_true_positive: np.ndarray, is_false_positive: np.ndarray, num_lesions: int
) -> np.ndarray:
    """The highest precision at a recall of at least each of the 101, 0 where it is not reached.

    Recall and the highest precision change at true positives alone, so these are what is computed.

    Args:
        is_true_positive: (D,) bool, detections in falling order of scores.
        is_false_positive: (D,) bool; detections that are neither do not count.
        num_lesions: that could be found, at least 1.
    """
    at = np.flatnonzero(is_true_positive)
    true_positives = np.arange(1, len(at) + 1)
    false_positives = np.cumsum(is_false_positive)[at]
    # the addend is pycocotools' own, for equal digits
    precision = true_positives / (false_positives + true_positives + np.spacing(1))
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(true_positives / num_lesions, _RECALLS, side="left")
    return np.append(highest, 0)[first]


def _mean(precision: np.ndarray) -> float:
    defined = precision[~np.isnan(precision)]
    return float(np.mean(defined)) if len(defined) else float("nan")
