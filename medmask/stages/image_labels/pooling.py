"""From the scores of an image's queries to the logit of the image (multiple-instance learning).

An image is a bag of queries: it is positive if at least one of them is, and negative if none is.
Both ways of pooling approach that "at least one", and both are differentiable in every query.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from medmask.errors import InputError


class BagPooling:
    """Pools the logits of an image's Q queries to one."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Pool.

        Args:
            logits: (N, Q) of one class, Q of at least 1.

        Returns:
            (N,) logits of "at least one query is positive".
        """
        raise NotImplementedError


class LogSumExpPooling(BagPooling):
    """A smooth maximum (Pinheiro and Collobert, 2015): 1/r log(1/Q sum_q exp(r l_q)).

    It lies between the mean of the logits (r towards 0) and their maximum (large r), and says the
    same for many low scores as for few, so a detector that is sure of nothing is not sure of an
    image. The gradient of a query is its share of the softmax of r l.
    """

    def __init__(self, *, sharpness: float = 5.0) -> None:
        """Create the pooling.

        Args:
            sharpness: r, above 0.

        Raises:
            InputError: it is not.
        """
        if not sharpness > 0:
            raise InputError(f"LogSumExpPooling: sharpness is {sharpness}, but must be positive")
        self.sharpness = sharpness

    def __call__(self, logits: Tensor) -> Tensor:
        scaled = torch.logsumexp(self.sharpness * logits, dim=1)
        return (scaled - math.log(logits.shape[1])) / self.sharpness


class NoisyOrPooling(BagPooling):
    """The probability that any of independent queries is right: p = 1 - prod_q (1 - p_q).

    Scores add up: 300 queries of 0.01 make an image of 0.95, so it fits detectors whose background
    scores are far below 1 / Q.
    """

    def __call__(self, logits: Tensor) -> Tensor:
        # With s = -log(1 - p) = sum_q log(1 + exp(l_q)), the logit of p is log(exp(s) - 1).
        s = F.softplus(logits).sum(dim=1)
        tiny = torch.finfo(s.dtype).tiny
        return s + torch.log(-torch.expm1(-s.clamp(min=tiny)))
