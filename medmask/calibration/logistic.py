"""Logistic calibration: two parameters on the logit of the score, which few lesions can bear.

Platt, "Probabilistic outputs for support vector machines" (1999): p = 1 / (1 + exp(-(a x + b))),
here with x = log(s / (1 - s)) of the score s, which a detector's last layer gave before its
sigmoid. The targets are Platt's, (N+ + 1) / (N+ + 2) for the positives and 1 / (N- + 2) for the
others, so that the parameters stay finite where the scores separate the two. The slope is at least
0: a calibration may not turn the order of the scores around.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

_LEAST_SCORE = 1e-4  # where no detection is, the score is 0, and its logit would be infinite
_MOST_STEPS = 100
_TOLERANCE = 1e-12  # of the gradient, for each sample


@dataclass(frozen=True)
class LogisticCalibrator:
    """The probability 1 / (1 + exp(-(slope * logit(score) + intercept))).

    Attributes:
        slope: at least 0; 0 if higher scores were not more often lesions.
        intercept: finite.
    """

    slope: float
    intercept: float

    name = "logistic"

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """(N,) scores in [0, 1] -> (N,) float64 probabilities."""
        return _sigmoid(self.slope * to_logits(scores) + self.intercept)

    def to_json(self) -> dict[str, Any]:
        """The parameters as JSON values."""
        return {"slope": self.slope, "intercept": self.intercept}


def fit_logistic(scores: np.ndarray, labels: np.ndarray) -> LogisticCalibrator:
    """Fit a logistic calibration of the greatest likelihood.

    Args:
        scores: (N,) in [0, 1], at least one.
        labels: (N,) bool.
    """
    positives = np.count_nonzero(labels)
    negatives = len(labels) - positives
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logits = to_logits(scores)
    if np.ptp(logits) > 0:
        slope, intercept = _maximize_likelihood(logits, targets)
        if slope > 0:
            return LogisticCalibrator(slope, intercept)
    # The likelihood is concave: where it falls with the slope at 0, it is greatest at 0.
    mean = float(targets.mean())
    return LogisticCalibrator(0.0, math.log(mean / (1 - mean)))


def to_logits(scores: np.ndarray) -> np.ndarray:
    """(N,) scores -> (N,) float64 log(s / (1 - s)), of scores at least 1e-4 away from 0 and 1."""
    clipped = np.clip(np.asarray(scores, np.float64), _LEAST_SCORE, 1 - _LEAST_SCORE)
    return np.log(clipped) - np.log1p(-clipped)


def _maximize_likelihood(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Newton's method with halved steps; (slope, intercept)."""
    design = np.column_stack([logits, np.ones_like(logits)])
    mean = targets.mean()
    parameters = np.array([0.0, math.log(mean / (1 - mean))])
    loss = _loss(design @ parameters, targets)
    for _ in range(_MOST_STEPS):
        probabilities = _sigmoid(design @ parameters)
        gradient = design.T @ (probabilities - targets)
        if np.abs(gradient).max() <= _TOLERANCE * len(logits):
            break
        weights = probabilities * (1 - probabilities)
        step = np.linalg.lstsq((design.T * weights) @ design, gradient, rcond=None)[0]
        size = 1.0
        while (new := _loss(design @ (parameters - size * step), targets)) > loss and size > 1e-10:
            size /= 2
        if not new < loss:
            break  # no representable step is better
        parameters, loss = parameters - size * step, new
    return float(parameters[0]), float(parameters[1])


def _loss(activations: np.ndarray, targets: np.ndarray) -> float:
    """The cross-entropy of soft targets, summed."""
    return float((np.logaddexp(0, activations) - targets * activations).sum())


def _sigmoid(activations: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without an overflow."""
    return np.exp(-np.logaddexp(0, -activations))
