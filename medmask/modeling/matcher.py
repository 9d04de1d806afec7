"""Matching: pairs of predictions and the objects that they answer for.

A match is a pair (prediction, target) of one image. The decoder is matched one to one: each object
has exactly one prediction, and every other prediction is background, so no suppression is needed
afterwards (DETR, Carion et al., 2020). Encoder proposals may be matched one to many: several tokens
inside an object learn to propose it, which gives a young detector more to learn from.

All costs of a batch are computed at once on the device and moved to the CPU in one transfer.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from medmask.modeling.boxes import DetectionTarget, generalized_box_iou

NAN_COST = 1e4
"""Cost of a pair whose prediction is NaN: above any real cost, but finite for SciPy."""
FORBIDDEN = 1e8
"""Cost of a pair that must not match: above any number of other pairs."""


class Matches(NamedTuple):
    """The pairs of all images, one after another: R pairs in all."""

    image: Tensor
    """(R,) int64, index into the batch"""
    prediction: Tensor
    """(R,) int64"""
    target: Tensor
    """(R,) int64, index into the targets of the image"""


class Matcher(Protocol):
    """Anything that pairs predictions and targets."""

    matches_per_target: int

    def __call__(
        self,
        logits: Tensor,
        boxes: Tensor,
        targets: Sequence[DetectionTarget],
        anchors: Tensor | None = None,
        candidates: Tensor | None = None,
    ) -> Matches:
        """Match.

        Args:
            logits: (B, Q, classes).
            boxes: (B, Q, 4) as (cx, cy, w, h).
            targets: B targets.
            anchors: (B, Q, 4), the boxes that predictions stand for before any correction;
                ``boxes`` if None.
            candidates: (B, Q) bool, True where a prediction may be matched; all if None.
        """
        ...


class MatchingCost:
    """Cost of every pair: ``class * focal + box * L1 - giou * GIoU``, lower is better.

    The class cost is the change of the focal loss (Lin et al., 2017) at the target's class when the
    prediction turns from background into a match.
    """

    def __init__(
        self,
        class_weight: float = 2.0,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
    ):
        self.class_weight = class_weight
        self.box_weight = box_weight
        self.giou_weight = giou_weight
        self.focal_alpha = focal_alpha
        self.focal_gamma = focal_gamma

    @torch.no_grad()
    def __call__(self, logits: Tensor, boxes: Tensor, targets: Sequence[DetectionTarget]) -> Tensor:
        """Compute all costs.

        Args:
            logits: (B, Q, classes).
            boxes: (B, Q, 4) as (cx, cy, w, h).
            targets: B targets with at most T objects.

        Returns:
            (B, Q, T) float32 on the device of ``logits``; columns past an image's own objects hold
            no meaning. A NaN prediction costs more than any other.
        """
        labels, target_boxes = pad_targets(targets, logits.device)
        probability = logits.float().sigmoid()
        eps = 1e-8
        background = -(1 - probability + eps).log() * probability**self.focal_gamma
        foreground = -(probability + eps).log() * (1 - probability) ** self.focal_gamma
        change = self.focal_alpha * foreground - (1 - self.focal_alpha) * background
        class_cost = change.gather(2, labels[:, None, :].expand(-1, logits.shape[1], -1))
        box_cost = torch.cdist(boxes.float(), target_boxes, p=1)
        giou = generalized_box_iou(boxes.float()[:, :, None], target_boxes[:, None])
        cost = self.class_weight * class_cost + self.box_weight * box_cost - self.giou_weight * giou
        return cost.nan_to_num(nan=NAN_COST)


class HungarianMatcher:
    """One to one, at the least total cost of an image."""

    matches_per_target = 1

    def __init__(self, cost: MatchingCost):
        self.cost = cost

    def __call__(
        self,
        logits: Tensor,
        boxes: Tensor,
        targets: Sequence[DetectionTarget],
        anchors: Tensor | None = None,
        candidates: Tensor | None = None,
    ) -> Matches:
        """Match; ``anchors`` do not matter. See :class:`Matcher` for the arguments.

        An image with more objects than candidates leaves the objects that fit worst unmatched.
        """
        costs = self.cost(logits, boxes, targets)
        if candidates is not None:
            costs = costs.masked_fill(~candidates[..., None], FORBIDDEN)
        pairs = [
            self._match_image(cost[:, : len(target.labels)])
            for cost, target in zip(costs.cpu().numpy(), targets, strict=True)
        ]
        return _to_matches(pairs, logits.device)

    @staticmethod
    def _match_image(cost: np.ndarray) -> tuple[Tensor, Tensor]:
        """(Q, T) costs -> (prediction, target) indices."""
        from scipy.optimize import linear_sum_assignment  # here: prediction does without

        prediction, target = linear_sum_assignment(cost)
        allowed = cost[prediction, target] < FORBIDDEN
        return torch.from_numpy(prediction[allowed]), torch.from_numpy(target[allowed])


class OneToManyMatcher:
    """The ``matches_per_target`` cheapest predictions whose anchor center lies in an object's box.

    An object too small to hold the anchor center of any candidate wants its cheapest prediction
    from anywhere. A prediction that several objects want goes to the one where it is cheapest, so
    an object can come away with fewer matches, or none.
    """

    def __init__(self, cost: MatchingCost, matches_per_target: int):
        self.cost = cost
        self.matches_per_target = matches_per_target

    def __call__(
        self,
        logits: Tensor,
        boxes: Tensor,
        targets: Sequence[DetectionTarget],
        anchors: Tensor | None = None,
        candidates: Tensor | None = None,
    ) -> Matches:
        """Match; see :class:`Matcher` for the arguments."""
        costs = self.cost(logits, boxes, targets)
        _, target_boxes = pad_targets(targets, logits.device)
        anchors = boxes if anchors is None else anchors
        if candidates is None:
            candidates = boxes.new_ones(boxes.shape[:2], dtype=torch.bool)
        distance = (anchors[:, :, None, :2] - target_boxes[:, None, :, :2]).abs()
        inside = (distance < target_boxes[:, None, :, 2:] / 2).all(-1) & candidates[..., None]
        homeless = ~inside.any(dim=1)  # (B, T)
        allowed = inside | (homeless[:, None] & candidates[..., None])  # (B, Q, T)
        costs = costs.masked_fill(~allowed, FORBIDDEN)
        pairs = []
        for cost, target, is_homeless in zip(costs.cpu(), targets, homeless.cpu(), strict=True):
            count = len(target.labels)
            pairs.append(self._match_image(cost[:, :count], is_homeless[:count]))
        return _to_matches(pairs, logits.device)

    def _match_image(self, cost: Tensor, homeless: Tensor) -> tuple[Tensor, Tensor]:
        """(Q, T) costs and (T,) objects that hold no anchor -> (prediction, target) indices."""
        num_predictions, num_targets = cost.shape
        if num_targets == 0:
            return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
        k = min(self.matches_per_target, num_predictions)
        cheapest = cost.topk(k, dim=0, largest=False).indices  # (k, T)
        wanted = torch.zeros_like(cost, dtype=torch.bool).scatter_(0, cheapest, True)
        wanted &= cost < FORBIDDEN
        only_one = torch.zeros_like(wanted).scatter_(0, cheapest[:1], True)
        wanted &= only_one | ~homeless
        owner = cost.masked_fill(~wanted, torch.inf).argmin(dim=1)  # (Q,)
        prediction = wanted.any(dim=1).nonzero()[:, 0]
        return prediction, owner[prediction]


def pad_targets(targets: Sequence[DetectionTarget], device: torch.device) -> tuple[Tensor, Tensor]:
    """B targets -> labels (B, T) and boxes (B, T, 4), T the largest number of objects."""
    counts = torch.tensor([len(t.labels) for t in targets])
    shape = (len(targets), int(counts.max()))
    # All at once: a few operations a batch instead of a few an image.
    places = (torch.arange(shape[1]) < counts[:, None]).flatten().nonzero()[:, 0].to(device)
    labels = torch.cat([t.labels for t in targets]).to(device)
    boxes = torch.cat([t.boxes for t in targets]).to(device)
    padded_labels = labels.new_zeros(shape[0] * shape[1]).index_copy(0, places, labels)
    padded_boxes = boxes.new_zeros(shape[0] * shape[1], 4).index_copy(0, places, boxes)
    return padded_labels.view(shape), padded_boxes.view(*shape, 4)


def _to_matches(pairs: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> Matches:
    counts = torch.tensor([len(p) for p, _ in pairs])
    image = torch.arange(len(pairs)).repeat_interleave(counts)
    prediction = torch.cat([p for p, _ in pairs])
    target = torch.cat([t for _, t in pairs])
    return Matches(*torch.stack((image, prediction, target)).to(device))
