"""Non-maximum suppression: the one that the predictor and the evaluation share.

It takes all images of a set at once, in float64 and without PyTorch. The detector's own, of one
image and on its device, is :func:`medmask.modeling.postprocessing.suppress_overlaps`.
"""

import numpy as np

from medmask.evaluation.boxes import pairwise_iou
from medmask.evaluation.structures import Detections


def suppress_overlaps(detections: Detections, iou_threshold: float | None) -> Detections:
    """Greedy non-maximum suppression, image by image and category by category.

    From the highest score down, a box is dropped when its IoU with a box that was kept exceeds the
    threshold; of equal scores the earlier box goes first. Detectors without suppression of their
    own, such as DETR, put several boxes on one finding, and a reader would count that finding once.

    Args:
        detections: D scored boxes.
        iou_threshold: in [0, 1]; None keeps all.

    Returns:
        The boxes that are kept, in their original order.
    """
    if iou_threshold is None:
        return detections
    return detections.select(kept_after_suppression(detections, iou_threshold))


def kept_after_suppression(detections: Detections, iou_threshold: float) -> np.ndarray:
    """Index the detections that :func:`suppress_overlaps` keeps: (K,) int64, ascending.

    Each turn keeps the best box that is left in every image and category, and drops what overlaps
    it there; so there are as many turns as one image keeps boxes of a category.
    """
    categories = detections.category_indices
    groups = detections.image_indices * (categories.max(initial=0) + 1) + categories
    left = np.lexsort((-detections.scores, groups))  # stable, the last key first
    groups = groups[left]
    kept = [np.zeros(0, dtype=np.int64)]
    while len(left):
        is_best = np.diff(groups, prepend=-1) > 0
        best = left[is_best]
        kept.append(best)
        best_of_each = best[np.cumsum(is_best) - 1]
        # Indexing 20,000 rows by brackets takes four times as long as take does.
        iou = pairwise_iou(
            detections.boxes.take(best_of_each, axis=0), detections.boxes.take(left, axis=0)
        )
        stays = ~is_best & ~(iou > iou_threshold)
        left, groups = left[stays], groups[stays]
    return np.sort(np.concatenate(kept))
