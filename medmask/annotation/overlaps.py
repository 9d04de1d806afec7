"""Overlaps of all boxes with all others."""

import numpy as np

from medmask.evaluation.boxes import pairwise_iou


def all_overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(A, 4), (B, 4) corners -> (A, B) intersection over union, in [0, 1]."""
    count, other_count = len(boxes), len(others)
    pairs = np.repeat(boxes, other_count, axis=0), np.tile(others, (count, 1))
    return pairwise_iou(*pairs).reshape(count, other_count)
