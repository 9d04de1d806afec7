"""Non-maximum suppression before the FROC analysis."""

from itertools import pairwise

import numpy as np
import torch
from torchvision.ops import nms

from medmask.evaluation.structures import Detections


def suppress_overlaps(detections: Detections, iou_threshold: float) -> Detections:
    """Greedy non-maximum suppression, image by image and category by category.

    From the highest score down, a box is dropped when its IoU with a box that was kept exceeds the
    threshold; of equal scores the earlier box goes first. Detectors without suppression of their
    own, such as DETR, put several boxes on one finding, and a reader would count that finding once.

    Args:
        detections: D scored boxes.
        iou_threshold: in [0, 1].

    Returns:
        The boxes that are kept, in their original order.
    """
    return detections.select(kept_after_suppression(detections, iou_threshold))


def kept_after_suppression(detections: Detections, iou_threshold: float) -> np.ndarray:
    """Index the detections that :func:`suppress_overlaps` keeps: (K,) int64, ascending."""
    if len(detections) == 0:
        return np.zeros(0, dtype=np.int64)
    # One call per group on a slice of the sorted boxes: torchvision's batched_nms searches all the
    # boxes for each group, which is quadratic in the number of images.
    order = np.lexsort((detections.category_indices, detections.image_indices))
    images, categories = detections.image_indices[order], detections.category_indices[order]
    starts_group = (np.diff(images) != 0) | (np.diff(categories) != 0)
    bounds = [0, *(np.flatnonzero(starts_group) + 1).tolist(), len(order)]
    boxes = torch.from_numpy(detections.boxes[order])
    scores = torch.from_numpy(detections.scores[order])
    kept = [
        nms(boxes[start:stop], scores[start:stop], iou_threshold).numpy() + start
        for start, stop in pairwise(bounds)
    ]
    return np.sort(order[np.concatenate(kept)])
