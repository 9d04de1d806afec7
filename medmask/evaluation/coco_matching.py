"""Matching of detections with lesions by COCO's protocol.

The protocol is that of ``COCOeval.evaluateImg`` in pycocotools (Lin et al., "Microsoft COCO: Common
Objects in Context", 2014). At each IoU threshold the detections of an image and a category take
their lesions greedily, from the highest score down. A detection takes the free lesion of the
highest IoU, of equal ones the last; only where it reaches none does it match an ignored one.
Ignored are crowd regions, which any number of detections match with their overlap divided by the
detection's area, and lesions whose area is outside the range that is measured. A detection that
matches an ignored lesion, or none while its own area is outside the range, counts nowhere.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from medmask.evaluation.boxes import areas, intersections, shares, to_xywh, to_xyxy
from medmask.evaluation.matching import pairs_of_same_image_and_category
from medmask.evaluation.structures import Detections, GroundTruth

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""T smallest IoUs of a match, rising."""

AREA_RANGES = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]])
"""(A, 2) square pixels, ends included: all lesions, small, medium and large ones."""


@dataclass(frozen=True)
class CocoMatches:
    """The result of the matching, for each area range and IoU threshold.

    Attributes:
        counted_lesions: (G, A) bool, the boxes of the ground truth that are not ignored.
        true_positives: (D, A, T) bool, the detections that match a lesion that counts.
        false_positives: (D, A, T) bool, those that match nothing, and count.
    """

    counted_lesions: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray


def match_by_coco(ground_truth: GroundTruth, detections: Detections) -> CocoMatches:
    """Match detections with lesions.

    Args:
        ground_truth: G lesions and ignored regions (iscrowd).
        detections: D scored boxes; those of an image and a category in falling order of scores.
    """
    is_crowd = ground_truth.is_crowd
    ignored = is_crowd[:, None] | _outside_ranges(ground_truth.boxes)
    detection, annotated, overlap = _overlapping_pairs(ground_truth, detections)

    taken = np.zeros((len(is_crowd), len(AREA_RANGES), len(IOU_THRESHOLDS)), dtype=bool)
    matched = np.zeros((len(detections), *taken.shape[1:]), dtype=bool)
    true_positives = np.zeros_like(matched)
    first_pairs = np.flatnonzero(np.diff(detection, prepend=-1))
    for first, end in pairwise([*first_pairs.tolist(), len(detection)]):
        near = annotated[first:end]  # N boxes of the ground truth
        iou = overlap[first:end, None, None]
        usable = (iou >= IOU_THRESHOLDS) & ~taken[near]  # (N, A, T)
        counting = usable & ~ignored[near, :, None]
        candidates = np.where(counting.any(axis=0), counting, usable)
        last_best = len(near) - 1 - np.where(candidates, iou, 0)[::-1].argmax(axis=0)  # (A, T)
        area, threshold = np.nonzero(candidates.any(axis=0))
        match = near[last_best[area, threshold]]
        matched[detection[first], area, threshold] = True
        true_positives[detection[first], area, threshold] = ~ignored[match, area]
        taken[match, area, threshold] = ~is_crowd[match]
    counts_unmatched = ~_outside_ranges(detections.boxes)
    return CocoMatches(~ignored, true_positives, ~matched & counts_unmatched[:, :, None])


def _outside_ranges(boxes: np.ndarray) -> np.ndarray:
    """(R, 4) -> (R, A) bool: the box's area is in none of the range."""
    area = areas(boxes)[:, None]
    return (area < AREA_RANGES[:, 0]) | (area > AREA_RANGES[:, 1])


def _overlapping_pairs(
    ground_truth: GroundTruth, detections: Detections
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the pairs that match at the lowest threshold at least; all other detections match none.

    Returns:
        (P,) int64 detections, rising; (P,) int64 boxes of the ground truth, rising for each
        detection; (P,) float64 overlap of the two.
    """
    detection, annotated = pairs_of_same_image_and_category(ground_truth, detections)
    boxes, lesion_boxes = detections.boxes[detection], ground_truth.boxes[annotated]
    # pycocotools adds the far corners up from the sides, which rounds them
    shared = intersections(to_xyxy(to_xywh(boxes)), to_xyxy(to_xywh(lesion_boxes)))
    area = areas(boxes)
    with np.errstate(over="ignore", invalid="ignore"):  # as in medmask.evaluation.boxes
        union = area + areas(lesion_boxes) - shared
        overlap = shares(shared, np.where(ground_truth.is_crowd[annotated], area, union))
    near = overlap >= IOU_THRESHOLDS[0]
    return detection[near], annotated[near], overlap[near]
