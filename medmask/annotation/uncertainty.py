"""Measures of how unsure a detector is of an image; larger is less sure.

Detections are taken as yes or no: each is a lesion with the probability that its score, or its
calibrated probability, states.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from medmask.annotation.overlaps import all_overlaps


class ImageDetections(NamedTuple):
    """Detections of one image."""

    boxes: np.ndarray
    """(D, 4) corners"""
    scores: np.ndarray
    """(D,) in [0, 1]"""
    categories: Sequence[str]
    """D names"""


def entropy(scores: np.ndarray) -> float:
    """Sum the entropy of all detections, in bits: the image holds many doubtful ones."""
    inside = scores[(scores > 0) & (scores < 1)]
    bits = inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)
    return float(-bits.sum()) + 0.0


def margin(scores: np.ndarray, threshold: float) -> float:
    """Tell how near to a threshold any detection is: a little more or less, and it would count.

    Args:
        scores: (D,) in [0, 1].
        threshold: in [0, 1]. An image without detections is as far from it as a score of 0.

    Returns:
        1 at the threshold, 0 at the end of the scale that is farther from it.
    """
    distance = np.abs((scores if len(scores) else np.zeros(1)) - threshold).min()
    return float(1 - distance / max(threshold, 1 - threshold))


def least_confidence(probability: float) -> float:
    """Tell how unsure the likelier answer is to whether the image has a lesion: from 0 to 1/2.

    Args:
        probability: that it has one, in [0, 1].
    """
    return 1 - max(probability, 1 - probability)


def disagreement(first: ImageDetections, second: ImageDetections) -> float:
    """Tell how far two sets of detections are apart: from 0 (the same) to 1 (nothing in common).

    What they have in common is, over pairs of detections of one class, the overlap of the boxes
    times the lower score, with each detection in one pair at most and the pairs chosen so that it
    is largest. The measure is 1 minus the ratio of that to the union, as for sets (Jaccard).
    """
    total = float(first.scores.sum() + second.scores.sum())
    if not total:
        return 0.0
    shared = all_overlaps(first.boxes, second.boxes)
    shared = shared * np.minimum(first.scores[:, None], second.scores[None])
    shared[np.array(first.categories)[:, None] != np.array(second.categories)[None]] = 0
    rows, columns = linear_sum_assignment(shared, maximize=True)
    common = float(shared[rows, columns].sum())
    return 1 - common / (total - common)
