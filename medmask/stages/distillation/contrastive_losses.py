"""Losses between an embedding and its positive and negative counterparts.

The student's embedding z of an object is to resemble the expert's embedding e of the same object. A
loss here sees nothing but cosine similarities, in [-1, 1]: s+ of z and its own e, and s-_j of z and
the expert's embedding of another object j. So the losses are interchangeable, and small; who the
others are is the business of :class:`medmask.stages.distillation.ExpertContrast`.

The expert is frozen, so nothing can collapse to a point: even the loss without negatives is sound.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from medmask.errors import InputError


class ContrastiveLoss(ABC):
    """A loss for each of R objects."""

    uses_negatives = True
    """True if the loss looks at other objects."""

    @abstractmethod
    def __call__(self, positive: Tensor, negative: Tensor, is_negative: Tensor) -> Tensor:
        """Compute the losses.

        Args:
            positive: (R,) similarity of each object's student and expert embedding; R >= 1.
            negative: (R, M) similarity of its student embedding and M expert embeddings.
            is_negative: (R, M) bool, True where the expert embedding is of another object; a row
                may have none.

        Returns:
            (R,) losses, at least 0.
        """


class InfoNCE(ContrastiveLoss):
    """The positive must be told from all negatives (van den Oord et al., 2018, equation 4).

    -log( exp(s+ / t) / (exp(s+ / t) + sum_j exp(s-_j / t)) ), zero where there is no negative.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        """Create the loss.

        Args:
            temperature: t > 0; the lower it is, the more the nearest negatives count. An expert
                whose embeddings are all alike needs a low one.
        """
        if temperature <= 0:
            raise InputError(f"temperature of InfoNCE is {temperature}, but must be above 0")
        self.temperature = temperature

    def __call__(self, positive: Tensor, negative: Tensor, is_negative: Tensor) -> Tensor:
        negative = negative.masked_fill(~is_negative, -torch.inf)
        logits = torch.cat((positive[:, None], negative), dim=1) / self.temperature
        return logits.logsumexp(dim=1) - logits[:, 0]


class MarginLoss(ContrastiveLoss):
    """Positives near, negatives no nearer than a margin (Hadsell et al., 2006, with cosines).

    (1 - s+) + mean_j max(0, s-_j - m)
    """

    def __init__(self, margin: float = 0.5) -> None:
        """Create the loss.

        Args:
            margin: m in [-1, 1], the similarity that a negative may have. An expert whose
                embeddings are all alike needs one above their usual similarity.
        """
        if not -1 <= margin <= 1:
            raise InputError(f"margin of MarginLoss is {margin}, but must be within -1 and 1")
        self.margin = margin

    def __call__(self, positive: Tensor, negative: Tensor, is_negative: Tensor) -> Tensor:
        excess = (negative - self.margin).relu() * is_negative
        return 1 - positive + excess.sum(dim=1) / is_negative.sum(dim=1).clamp(min=1)


class TripletLoss(ContrastiveLoss):
    """The positive nearer than a semi-hard negative, by a margin (FaceNet: Schroff et al., 2015).

    max(0, m + s-_* - s+), where * is the most similar of the negatives that are less similar than
    the positive; where all are more similar than it, the least similar of them. The very hardest
    negatives are left alone because many are false: two normal breasts look alike to an expert.
    Zero where there is no negative.
    """

    def __init__(self, margin: float = 0.1) -> None:
        """Create the loss.

        Args:
            margin: m > 0. FaceNet's 0.2 between squared distances is 0.1 between cosines.
        """
        if margin <= 0:
            raise InputError(f"margin of TripletLoss is {margin}, but must be above 0")
        self.margin = margin

    def __call__(self, positive: Tensor, negative: Tensor, is_negative: Tensor) -> Tensor:
        is_below = is_negative & (negative < positive[:, None])
        hardest_below = negative.masked_fill(~is_below, -torch.inf).amax(dim=1)
        easiest = negative.masked_fill(~is_negative, torch.inf).amin(dim=1)
        chosen = hardest_below.where(is_below.any(dim=1), easiest)
        losses = (self.margin + chosen - positive).relu()
        return losses.where(is_negative.any(dim=1), torch.zeros_like(losses))


class CosineLoss(ContrastiveLoss):
    """The positive as near as can be, whatever the others: 1 - s+."""

    uses_negatives = False

    def __call__(self, positive: Tensor, negative: Tensor, is_negative: Tensor) -> Tensor:
        return 1 - positive
