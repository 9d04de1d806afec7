"""Weighted box fusion: detections of several models become those of one (Solovyev et al., 2021).

Suppression would keep the best box of a finding and forget who else saw it. Fusion asks all models:
boxes on one finding become their mean, weighted by score, and a finding that a model does not see
counts as a score of 0 there. What several models agree on rises over what one of them invents.
"""

from collections.abc import Sequence

import numpy as np

from medmask.errors import InputError
from medmask.evaluation.boxes import pairwise_iou
from medmask.evaluation.settings import FUSION_IOU
from medmask.evaluation.structures import Detections


def fuse_detections(models: Sequence[Detections], iou_threshold: float = FUSION_IOU) -> Detections:
    """Fuse detections on the same images, image by image and category by category.

    From the highest score of all models down, a box joins the fused box that it overlaps most, if
    by more than the threshold and if its model has no box there yet; else it begins one. Of equal
    scores, the earlier model's and then the earlier box goes first.

    Args:
        models: M >= 1 models' detections, whose scores are comparable.
        iou_threshold: in [0, 1].

    Returns:
        The fused boxes, whose score is the sum of their boxes' scores over M; by image, category
        and highest score of a box. Of a single model all boxes stay as they are, in this order.

    Raises:
        InputError: there is no model, or the threshold is out of range.
    """
    if not models:
        raise InputError("nothing to fuse: give the detections of at least one model")
    if not 0 <= iou_threshold <= 1:
        raise InputError(f"the IoU to fuse from is {iou_threshold}, but must lie in [0, 1]")
    together = Detections(
        boxes=np.concatenate([m.boxes.reshape(-1, 4) for m in models]),
        scores=np.concatenate([m.scores for m in models]),
        image_indices=np.concatenate([m.image_indices for m in models]),
        category_indices=np.concatenate([m.category_indices for m in models]),
    )
    model_indices = np.repeat(np.arange(len(models)), [len(m) for m in models])
    # the last key counts first; within a key the order stays
    order = np.lexsort((-together.scores, together.category_indices, together.image_indices))
    together, model_indices = together.select(order), model_indices[order]
    groups = np.stack((together.image_indices, together.category_indices))
    starts = np.flatnonzero((np.diff(groups, prepend=-1) != 0).any(axis=0))
    fused = [
        _fuse_group(together.boxes[part], together.scores[part], model_indices[part], iou_threshold)
        for part in np.split(np.arange(len(together)), starts[1:])
    ]
    firsts = np.repeat(starts, [len(scores) for _, scores in fused] if len(starts) else 0)
    return Detections(
        boxes=np.concatenate([boxes for boxes, _ in fused]),
        scores=np.concatenate([scores for _, scores in fused]) / len(models),
        image_indices=together.image_indices[firsts],
        category_indices=together.category_indices[firsts],
    )


def _fuse_group(
    boxes: np.ndarray, scores: np.ndarray, model_indices: np.ndarray, iou_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """(D, 4) boxes in the order of their scores (D,) -> (F, 4) fused, and (F,) sums of scores."""
    fused = np.empty_like(boxes)
    sums = np.zeros_like(scores)
    has_model = np.zeros((len(boxes), int(model_indices.max(initial=0)) + 1), dtype=bool)
    count = 0
    for box, score, model in zip(boxes, scores, model_indices, strict=True):
        overlaps = pairwise_iou(fused[:count], np.broadcast_to(box, (count, 4)))
        overlaps[has_model[:count, model]] = -1.0
        place = int(overlaps.argmax()) if count else 0
        if not count or overlaps[place] <= iou_threshold:
            place = count
            fused[place] = box
            count += 1
        elif score > 0:  # else it has no weight
            total = sums[place] + score
            fused[place] += (box - fused[place]) * (score / total)
        sums[place] += score
        has_model[place, model] = True
    return fused[:count], sums[:count]
