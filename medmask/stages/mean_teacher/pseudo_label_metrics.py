"""Precision and recall of pseudo labels, where ground truth was held back.

The ground truth is used for logging only.
"""

from collections import deque
from typing import Any

import torch
from detectron2.structures import Instances, pairwise_iou
from detectron2.structures.boxes import pairwise_point_box_distance
from torch import Tensor

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
    distances = pairwise_point_box_distance(pseudo.gt_boxes.get_centers(), ground_truth.gt_boxes)
    inside = (distances >= 0).all(-1) & same_class
    counts = [len(pseudo), overlap.any(1).sum(), inside.any(1).sum(), len(ground_truth)]
    return torch.tensor([*counts, overlap.any(0).sum()], dtype=torch.float64)


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
        boxes, overlapping, centered, objects, found = sum(self.counts).tolist()
        metrics = {}
        if boxes:
            metrics |= {"precision": overlapping / boxes, "precision_center": centered / boxes}
        if objects:
            metrics["recall"] = found / objects
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {"counts": list(self.counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts = deque(state_dict["counts"], maxlen=self.counts.maxlen)
