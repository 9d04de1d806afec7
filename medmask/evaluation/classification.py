"""Classification of images and breasts by the presence of a lesion.

Measured by the area under the ROC curve, F1, sensitivity and specificity.

An image's score is the highest score of its detections, 0 if there is none; a breast's score is the
highest of its images (one patient's images of one side). Either is positive if it has a lesion.
"""

from dataclasses import dataclass

import numpy as np

from medmask.evaluation.structures import Detections, GroundTruth, group_indices


@dataclass(frozen=True)
class ScoredUnits:
    """U images or breasts to classify.

    Attributes:
        scores: (U,) float64.
        labels: (U,) bool, True with a lesion.
        patients: (U,) int64, the patient that each belongs to (``GroundTruth.patient_groups``).
    """

    scores: np.ndarray
    labels: np.ndarray
    patients: np.ndarray


@dataclass(frozen=True)
class ThresholdMetrics:
    """Metrics of calling every score of at least ``score`` positive; NaN where undefined."""

    score: float
    f1: float
    sensitivity: float
    specificity: float


def score_images(ground_truth: GroundTruth, detections: Detections) -> ScoredUnits:
    """Every image with its highest detection score, over all categories."""
    scores = np.zeros(ground_truth.num_images)
    np.maximum.at(scores, detections.image_indices, detections.scores)
    return ScoredUnits(scores, ground_truth.images_with_lesions(), ground_truth.patient_groups())


def score_breasts(ground_truth: GroundTruth, images: ScoredUnits) -> ScoredUnits | None:
    """Every breast with its highest image score.

    Returns:
        None unless every image carries a patient id and a laterality.
    """
    if None in ground_truth.patients or None in ground_truth.lateralities:
        return None
    breast = group_indices(list(zip(ground_truth.patients, ground_truth.lateralities, strict=True)))
    num_breasts = int(breast.max()) + 1
    scores = np.zeros(num_breasts)
    np.maximum.at(scores, breast, images.scores)
    labels = np.zeros(num_breasts, dtype=bool)
    np.logical_or.at(labels, breast, images.labels)
    patients = np.zeros(num_breasts, dtype=np.int64)
    patients[breast] = images.patients
    return ScoredUnits(scores, labels, patients)


def roc_auc(units: ScoredUnits, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half.

    Args:
        units: U scored and labeled units.
        weights: (B, U) how often each unit is in each of B samples of the units (ones for the
            area itself, counts for bootstrap samples).

    Returns:
        (B,) areas in [0, 1], NaN where a sample lacks positives or negatives.
    """
    order = np.argsort(units.scores, kind="stable")
    scores, labels, weights = units.scores[order], units.labels[order], weights[:, order]
    positive = np.where(labels, weights, 0)
    negative = np.where(labels, 0, weights)
    negatives_below = np.zeros((len(weights), len(scores) + 1))  # (B, U + 1)
    np.cumsum(negative, axis=1, out=negatives_below[:, 1:])
    below = negatives_below[:, np.searchsorted(scores, scores, side="left")]
    below_or_tied = negatives_below[:, np.searchsorted(scores, scores, side="right")]
    wins = (positive * (below + below_or_tied)).sum(axis=1) / 2
    pairs = positive.sum(axis=1) * negatives_below[:, -1]
    return np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def roc_curve(units: ScoredUnits) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve, whose thresholds are the scores; units of one score enter together.

    Returns:
        (T,) false-positive rates and (T,) sensitivities, from (0, 0) to (1, 1); NaN without
        negatives or without positives. Between neighbors the curve is straight, so that its area
        is :func:`roc_auc`.
    """
    scores, index = np.unique(units.scores, return_inverse=True)
    of_each = [
        np.bincount(index, weights=labels, minlength=len(scores))[::-1]
        for labels in (~units.labels, units.labels)
    ]
    rates = []
    for counts in of_each:
        reached = np.concatenate([[0.0], np.cumsum(counts)])
        total = reached[-1]
        rates.append(reached / total if total else np.full(len(reached), np.nan))
    return rates[0], rates[1]


def metrics_at(units: ScoredUnits, score: float) -> ThresholdMetrics:
    """F1, sensitivity and specificity of calling units positive from ``score`` on."""
    called = units.scores >= score
    true_positives = int(np.count_nonzero(called & units.labels))
    positives = int(np.count_nonzero(units.labels))
    true_negatives = int(np.count_nonzero(~called & ~units.labels))
    negatives = len(units.labels) - positives
    return ThresholdMetrics(
        score=float(score),
        f1=_ratio(2 * true_positives, int(np.count_nonzero(called)) + positives),
        sensitivity=_ratio(true_positives, positives),
        specificity=_ratio(true_negatives, negatives),
    )


def best_f1(units: ScoredUnits) -> ThresholdMetrics | None:
    """The metrics at the score with the highest F1; of several such, the highest score.

    Returns:
        None if no unit is positive, when no F1 is worth choosing by.
    """
    positives = np.count_nonzero(units.labels)
    if positives == 0:
        return None
    scores, index = np.unique(units.scores, return_inverse=True)
    called = np.cumsum(np.bincount(index)[::-1])
    true_positives = np.cumsum(np.bincount(index, weights=units.labels)[::-1])
    best = np.argmax(2 * true_positives / (called + positives))
    return metrics_at(units, scores[::-1][best])


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
