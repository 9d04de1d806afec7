"""Queries that stand for normal tissue, for the zero-shot assignment.

Lesions alone would teach it one answer, which costs next to nothing and says nothing: a counterpart
takes queries that are certain to show no lesion.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from medmask.modeling.boxes import DetectionTarget
from medmask.modeling.matcher import Matches
from medmask.stages.distillation.heads import WordClasses
from medmask.utils.distributed import mean_over_processes

SURROUNDINGS = 2.0
"""A query is far from a lesion if its box does not touch the lesion's box, enlarged by this."""


@torch.no_grad()
def find_normal_queries(
    logits: Tensor,
    boxes: Tensor,
    targets: Sequence[DetectionTarget],
    matches: Matches,
    number: int,
) -> tuple[Tensor, Tensor]:
    """Find unmatched queries far from any lesion, in each image those of the highest scores.

    These are what the detector is most likely to take for a lesion; low scores lie outside of the
    breast, too, where there is no tissue.

    Args:
        logits: (N, Q, K), of the last decoder layer.
        boxes: (N, Q, 4) as (cx, cy, w, h), likewise.
        targets: of the N images.
        matches: of that layer.
        number: the most that are taken of an image.

    Returns:
        (R,) images and (R,) queries; an image may have fewer than ``number``.
    """
    is_free = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    is_free[matches.image, matches.prediction] = False
    for free, image_boxes, target in zip(is_free, boxes, targets, strict=True):
        free &= ~_touch(image_boxes, target.boxes).any(dim=1)
    scores = logits.amax(dim=-1).float().masked_fill(~is_free, -torch.inf)
    highest, queries = scores.topk(min(number, scores.shape[1]), dim=1)
    images, order = (highest > -torch.inf).nonzero(as_tuple=True)
    return images, queries[images, order]


def _touch(boxes: Tensor, lesions: Tensor) -> Tensor:
    """Tell which of (Q, 4) boxes touch the surroundings of which of (T, 4) lesions: (Q, T)."""
    distances = (boxes[:, None, :2] - lesions[None, :, :2]).abs()
    reach = (boxes[:, None, 2:] + SURROUNDINGS * lesions[None, :, 2:]) / 2
    return (distances <= reach).all(dim=-1)


def normal_cross_entropy(student: Tensor, classes: WordClasses, normal_class: int) -> Tensor:
    """The mean of -log p(normal) over R queries.

    Args:
        student: (R, D) embeddings of the queries, of any length.
        classes: what they are assigned to.
        normal_class: number of the one that they belong to.

    Returns:
        A scalar, see :func:`mean_over_processes`.
    """
    with torch.autocast(student.device.type, enabled=False):
        return mean_over_processes(-classes.log_assignment(student)[:, normal_class])
