"""Matching of detections with lesions.

A detection hits a lesion of its own image and category when its center lies in the lesion's box,
borders included, or, by the other rule, when the two boxes overlap with an IoU of at least a
threshold. One detection may hit several overlapping lesions. A detection that hits none is a false
positive; further hits on a lesion that is found already are neither hits nor false positives.

Ground truth marked ``iscrowd`` is a region to ignore: it is no lesion to find, and a detection
that hits it and no lesion counts nowhere, not even in its image's score. By the IoU rule the
overlap with such a region is divided by the detection's own area, as the COCO protocol does.

A third rule is that of a public script (:mod:`medmask.evaluation.published_script`).
"""

from dataclasses import dataclass, replace

import numpy as np

from medmask.evaluation.boxes import areas, intersections, pairwise_iou, shares
from medmask.evaluation.published_script import first_of_each, published_regions
from medmask.evaluation.settings import LESION_BOX, PUBLISHED_SCRIPT
from medmask.evaluation.structures import Detections, GroundTruth


@dataclass(frozen=True)
class Localizations:
    """At which scores lesions are found and false positives appear: all that an FROC curve needs.

    Lowering the score threshold finds a lesion once, at the score of the best detection that hits
    it, and adds each false positive at its own score.

    Attributes:
        num_images: the images of the set, with and without lesions.
        lesion_scores: (L,) the highest score of the detections that hit the lesion, -inf if none.
        lesion_images: (L,) image index.
        lesion_categories: (L,) category index.
        false_positive_scores: (F,) scores of the detections that hit nothing.
        false_positive_images: (F,) image index.
        false_positive_categories: (F,) category index.
        hits: (D,) bool, which of all detections hit a lesion, also one that a better one found.
        ignored: (D,) bool, which of all detections hit an ignored region and no lesion.
    """

    num_images: int
    lesion_scores: np.ndarray
    lesion_images: np.ndarray
    lesion_categories: np.ndarray
    false_positive_scores: np.ndarray
    false_positive_images: np.ndarray
    false_positive_categories: np.ndarray
    hits: np.ndarray
    ignored: np.ndarray

    def of_category(self, index: int) -> "Localizations":
        """The lesions and false positives of one category, over the same images."""
        lesions = self.lesion_categories == index
        false_positives = self.false_positive_categories == index
        return replace(
            self,
            lesion_scores=self.lesion_scores[lesions],
            lesion_images=self.lesion_images[lesions],
            lesion_categories=self.lesion_categories[lesions],
            false_positive_scores=self.false_positive_scores[false_positives],
            false_positive_images=self.false_positive_images[false_positives],
            false_positive_categories=self.false_positive_categories[false_positives],
        )


def localize(
    ground_truth: GroundTruth,
    detections: Detections,
    iou_threshold: float | None = None,
    hit_rule: str = LESION_BOX,
) -> Localizations:
    """Match detections with lesions.

    Args:
        ground_truth: lesions and ignored regions.
        detections: the scored boxes, after non-maximum suppression if any.
        iou_threshold: None for the center rule, else the smallest IoU of a hit, in (0, 1].
        hit_rule: "lesion_box", or "published_script" without an IoU.

    Returns:
        The scores at which lesions are found and false positives appear.

    Raises:
        InputError: the rule "published_script" needs an image's size, which is unknown.
    """
    detection, annotated = _hits(ground_truth, detections, iou_threshold, hit_rule)
    best_scores = np.full(len(ground_truth.boxes), -np.inf)
    np.maximum.at(best_scores, annotated, detections.scores[detection])
    on_crowd = ground_truth.is_crowd[annotated]
    hits_lesion = np.zeros(len(detections), dtype=bool)
    hits_lesion[detection[~on_crowd]] = True
    hits_crowd = np.zeros(len(detections), dtype=bool)
    hits_crowd[detection[on_crowd]] = True

    lesions = ~ground_truth.is_crowd
    false_positives = ~(hits_lesion | hits_crowd)
    return Localizations(
        num_images=ground_truth.num_images,
        lesion_scores=best_scores[lesions],
        lesion_images=ground_truth.image_indices[lesions],
        lesion_categories=ground_truth.category_indices[lesions],
        false_positive_scores=detections.scores[false_positives],
        false_positive_images=detections.image_indices[false_positives],
        false_positive_categories=detections.category_indices[false_positives],
        hits=hits_lesion,
        ignored=hits_crowd & ~hits_lesion,
    )


def _hits(
    ground_truth: GroundTruth, detections: Detections, iou_threshold: float | None, hit_rule: str
) -> tuple[np.ndarray, np.ndarray]:
    """The (detection, ground truth) index pairs that are hits, each (P,) int64."""
    detection, annotated = pairs_of_same_image_and_category(ground_truth, detections)
    boxes, is_crowd = detections.boxes[detection], ground_truth.is_crowd[annotated]
    if hit_rule == PUBLISHED_SCRIPT:
        hit = _centers_inside(boxes, published_regions(ground_truth)[annotated])
        lesions = np.flatnonzero(hit & ~is_crowd)
        hit &= is_crowd
        hit[lesions[first_of_each(detection[lesions])]] = True
    elif iou_threshold is None:
        hit = _centers_inside(boxes, ground_truth.boxes[annotated])
    else:
        hit = _overlaps(boxes, ground_truth.boxes[annotated], is_crowd) >= iou_threshold
    return detection[hit], annotated[hit]


def pairs_of_same_image_and_category(
    ground_truth: GroundTruth, detections: Detections
) -> tuple[np.ndarray, np.ndarray]:
    """All (detection, ground truth) index pairs that could be a hit, each (P,) int64."""
    num_categories = len(ground_truth.category_ids)
    annotated_keys = ground_truth.image_indices * num_categories + ground_truth.category_indices
    detection_keys = detections.image_indices * num_categories + detections.category_indices
    order = np.argsort(annotated_keys, kind="stable")
    sorted_keys = annotated_keys[order]
    start = np.searchsorted(sorted_keys, detection_keys, side="left")
    count = np.searchsorted(sorted_keys, detection_keys, side="right") - start

    detection = np.repeat(np.arange(len(detections)), count)
    first_pair = np.cumsum(count) - count
    within = np.arange(len(detection)) - np.repeat(first_pair, count)
    return detection, order[np.repeat(start, count) + within]


def _centers_inside(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """(P, 4), (P, 4) -> (P,) bool: the box's center lies in the region or on its border."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ((centers >= regions[:, :2]) & (centers <= regions[:, 2:])).all(axis=1)


def _overlaps(boxes: np.ndarray, regions: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """(P, 4), (P, 4), (P,) -> (P,): IoU, or intersection over the box's area for crowd regions."""
    share_of_box = shares(intersections(boxes, regions), areas(boxes))
    return np.where(is_crowd, share_of_box, pairwise_iou(boxes, regions))
