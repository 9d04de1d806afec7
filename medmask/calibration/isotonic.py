"""Isotonic regression by pooling adjacent violators.

The rising step function with the least squared distance from the labels (Ayer et al., "An empirical
distribution function for sampling with incomplete information", 1955; as a calibration: Zadrozny
and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", 2002).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class IsotonicCalibrator:
    """Probabilities that never fall as the score rises, linear between the knots.

    Attributes:
        scores: (K,) rising scores, at least one.
        probabilities: (K,) in [0, 1], not falling; the first holds below the first score, the last
            above the last.
    """

    scores: np.ndarray
    probabilities: np.ndarray

    name = "isotonic"

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """(N,) scores -> (N,) float64 probabilities."""
        return np.interp(np.asarray(scores, np.float64), self.scores, self.probabilities)

    def to_json(self) -> dict[str, Any]:
        """The parameters as JSON values."""
        return {"scores": self.scores.tolist(), "probabilities": self.probabilities.tolist()}


def fit_isotonic(scores: np.ndarray, labels: np.ndarray) -> IsotonicCalibrator:
    """Fit an isotonic calibration; equal scores share one probability.

    Args:
        scores: (N,), at least one.
        labels: (N,) bool.
    """
    distinct, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(index, weights=labels) / counts
    levels = pool_adjacent_violators(means, counts)
    # Both ends of each level are knots; between two levels the probability rises linearly.
    starts = np.diff(levels, prepend=-1) > 0
    ends = np.append(starts[1:], True)
    knots = starts | ends
    return IsotonicCalibrator(distinct[knots].astype(np.float64), levels[knots])


def pool_adjacent_violators(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Find the non-falling sequence with the least weighted squared distance from the values.

    Neighbors of which the left is the greater are replaced by their weighted mean, until there are
    none.

    Args:
        values: (N,) in their order.
        weights: (N,) above 0.

    Returns:
        (N,) float64.
    """
    means: list[float] = []
    masses: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, length = float(value), float(weight), 1
        while means and means[-1] >= mean:
            other = masses.pop()
            mean = (means.pop() * other + mean * mass) / (other + mass)
            mass += other
            length += lengths.pop()
        means.append(mean)
        masses.append(mass)
        lengths.append(length)
    return np.repeat(np.array(means, dtype=np.float64), lengths)
