"""Precision and recall of pseudo labels, where ground truth was held back.

The ground truth is used for logging only.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.structures import Instances, pairwise_iou
from detectron2.structures.boxes import pairwise_point_box_distance
from torch import Tensor

from medmask.stages.learning import LearningMeasure, chance_margin

IOU_THRESHOLD = 0.5
NUM_COUNTS = 5


def count_hits(pseudo: Instances, ground_truth: Instances) -> Tensor:
    """Compare the pseudo labels of an image with its ground truth, class by class.

    Args:
        pseudo: with ``gt_boxes`` (P, 4) and ``gt_classes`` (P,).
        ground_truth: the same with T objects, on the same device and in the same coordinates.

    Returns:
        (5,) float64 on the CPU: P; how many pseudo boxes have an IoU of at least 0.5 with an object
        of their class; how many have their center in one (the rule of the FROC curve); T; how many
        objects have an IoU of at least 0.5 with a pseudo box of their class.
    """
    same_class = pseudo.gt_classes[:, None] == ground_truth.gt_classes  # (P, T)
    overlap = (pairwise_iou(pseudo.gt_boxes, ground_truth.gt_boxes) >= IOU_THRESHOLD) & same_class
    inside = _centers_inside(pseudo, ground_truth)
    counts = [len(pseudo), overlap.any(1).sum(), inside.any(1).sum(), len(ground_truth)]
    return torch.tensor([*counts, overlap.any(0).sum()], dtype=torch.float64)


def measure_pseudo_labels(
    labels: Sequence[Instances], truths: Sequence[Instances]
) -> dict[str, LearningMeasure]:
    """Measure precision and recall by the hit rule of the FROC curve, class by class.

    A label whose center lies in an object of its class is right, and finds the object. The constant
    is what the same labels get on other images, each on the one half the set away: they know where
    lesions are usually found, and nothing of the image.

    Args:
        labels: of each image, see :func:`count_hits`; no label is legal.
        truths: of each image.

    Returns:
        ``precision`` (NaN without a label) and ``recall``; nothing where there is no object.
    """
    others = [*truths[len(truths) // 2 :], *truths[: len(truths) // 2]]
    resized = [_resize(o, x.image_size) for o, x in zip(others, labels, strict=True)]
    own, elsewhere = _count_centers(labels, truths), _count_centers(labels, resized)
    num_labels, num_objects = sum(map(len, labels)), sum(map(len, truths))
    if not num_objects:
        return {}
    measures = {}
    for i, (name, count) in enumerate((("precision", num_labels), ("recall", num_objects))):
        value, constant = (x[i] / count if count else float("nan") for x in (own, elsewhere))
        # One more, as a chance of 0 has no error, and a single label, right by luck, would beat it.
        margin = chance_margin((elsewhere[i] + 1) / (count + 1), count)
        measures[name] = LearningMeasure(value, constant, margin)
    return measures


def _count_centers(labels: Sequence[Instances], truths: Sequence[Instances]) -> tuple[int, int]:
    """Count the labels whose center lies in an object of their class, and these objects."""
    right = found = 0
    for label, truth in zip(labels, truths, strict=True):
        inside = _centers_inside(label, truth)
        right += int(inside.any(1).sum())
        found += int(inside.any(0).sum())
    return right, found


def _centers_inside(pseudo: Instances, ground_truth: Instances) -> Tensor:
    """(P, T) bool, True where the center of a box lies in an object of its class."""
    distances = pairwise_point_box_distance(pseudo.gt_boxes.get_centers(), ground_truth.gt_boxes)
    same_class = pseudo.gt_classes[:, None] == ground_truth.gt_classes
    return (distances >= 0).all(-1) & same_class


def _resize(truth: Instances, image_size: tuple[int, int]) -> Instances:
    boxes = truth.gt_boxes.clone()
    boxes.scale(image_size[1] / truth.image_size[1], image_size[0] / truth.image_size[0])
    return Instances(image_size, gt_boxes=boxes, gt_classes=truth.gt_classes)


class PseudoLabelQuality:
    """Precision and recall over the last iterations of a teacher; one batch has few boxes."""

    def __init__(self, window: int = 50) -> None:
        """Create the measure.

        Args:
            window: iterations that are looked back on.
        """
        self.counts: deque[Tensor] = deque(maxlen=window)

    def add(self, counts: Tensor) -> None:
        """Add an iteration: sums (5,) of what :func:`count_hits` gives, over its images."""
        self.counts.append(counts)

    def metrics(self) -> dict[str, float]:
        """Shares in [0, 1]; what has nothing to be a share of is left out.

        ``precision``: pseudo boxes with an IoU of at least 0.5 with an object of their class;
        ``precision_center``: those whose center lies in one; ``recall``: objects with an IoU of at
        least 0.5 with a pseudo box of their class.
        """
        if not self.counts:
            return {}
        counts = torch.stack(tuple(self.counts)).sum(0)
        boxes, overlapping, centered, objects, found = counts.tolist()
        metrics: dict[str, float] = {}
        if boxes:
            metrics |= {"precision": overlapping / boxes, "precision_center": centered / boxes}
        if objects:
            metrics["recall"] = found / objects
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {"counts": list(self.counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts = deque(state_dict["counts"], maxlen=self.counts.maxlen)
