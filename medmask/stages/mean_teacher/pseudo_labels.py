"""Pseudo labels: a teacher's confident detections, taken for ground truth of unlabeled images."""

from typing import NamedTuple

from torch import Tensor
from torchvision.ops import box_convert, nms

NMS_THRESHOLD = 0.7
"""IoU above which of two boxes only the one with the higher score is kept"""


class PseudoLabels(NamedTuple):
    """The P boxes of one image, by descending score; P may be 0."""

    boxes: Tensor
    """(P, 4) float32 as (cx, cy, w, h) in [0, 1] of the unpadded image"""
    labels: Tensor
    """(P,) int64, class of each box"""
    scores: Tensor
    """(P,) float32 in [0, 1]"""


def select_pseudo_labels(logits: Tensor, boxes: Tensor, thresholds: Tensor) -> list[PseudoLabels]:
    """Take the queries whose best class scores above that class's threshold.

    A query has one box, so it stands for one class only; overlapping boxes are suppressed whatever
    their classes are.

    Args:
        logits: (N, Q, K), of the last decoder layer.
        boxes: (N, Q, 4) as (cx, cy, w, h) in [0, 1].
        thresholds: (K,) in [0, 1]; a score that equals its threshold is not above it.

    Returns:
        One entry per image.
    """
    all_scores, all_labels = logits.float().sigmoid().max(dim=-1)  # (N, Q) each
    confident = all_scores > thresholds.to(all_scores)[all_labels]
    selected = []
    for i, chosen in enumerate(confident):
        image = PseudoLabels(boxes[i, chosen].float(), all_labels[i, chosen], all_scores[i, chosen])
        corners = box_convert(image.boxes, "cxcywh", "xyxy")
        # IoU does not change when width and height are measured in units of their own.
        kept = nms(corners, image.scores, NMS_THRESHOLD)
        selected.append(PseudoLabels(*(x[kept] for x in image)))
    return selected
