"""Score thresholds at given rates of false positives per image (FPI).

A threshold is the lowest score at which the detections of at least that score have no more false
positives per image than the rate. It is a score of the set, or 0 where even all detections have
fewer. Its interval, by the bootstrap over patients, says how far it would be another with other
patients; that of its FPI, how many false positives the threshold, as it is, gives on others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmask.evaluation.bootstrap import percentile_interval, resampled_sensitivity
from medmask.evaluation.froc import false_positive_budgets, froc_curve, sensitivity_at
from medmask.evaluation.matching import Localizations

NOTHING_SHOWN = np.inf
"""The threshold of a rate that even the highest scores exceed."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it gives. Intervals are (2,), None without the bootstrap.

    Attributes:
        fpi: the rate of false positives per image that was asked for.
        threshold: detections of at least this score are shown; infinite if none may be.
        threshold_interval: 95% interval, of which an end of 1 also stands for an infinite one.
        sensitivity: share of the lesions that are found, in [0, 1].
        sensitivity_interval: 95% interval of the sensitivity at this FPI.
        attained_fpi: false positives per image at the threshold, at most ``fpi``.
        attained_fpi_interval: 95% interval of it, the threshold being as it is.
        is_reached: False where all detections together have no more false positives than ``fpi``.
    """

    fpi: float
    threshold: float
    threshold_interval: np.ndarray | None
    sensitivity: float
    sensitivity_interval: np.ndarray | None
    attained_fpi: float
    attained_fpi_interval: np.ndarray | None
    is_reached: bool


def find_operating_points(
    localizations: Localizations,
    fpi: Sequence[float],
    patients: np.ndarray,
    weights: np.ndarray | None,
) -> tuple[OperatingPoint, ...]:
    """Find the threshold of each rate, with intervals.

    Args:
        localizations: what was found at which score in the set.
        fpi: K rates of false positives per image.
        patients: (N,) the patient of each image.
        weights: (B, P) resamples, None for no intervals.
    """
    thresholds = thresholds_at(localizations, fpi)
    sensitivity = sensitivity_at(localizations, fpi)
    threshold_intervals = sensitivity_intervals = fpi_intervals = None
    if weights is not None:
        resampled = resampled_thresholds(localizations, patients, weights, fpi)
        threshold_intervals = percentile_interval(np.minimum(resampled, 1.0))
        sensitivity_intervals = percentile_interval(
            resampled_sensitivity(localizations, patients, weights, fpi)
        )
        fpi_intervals = percentile_interval(
            _resampled_fpi(localizations, patients, weights, thresholds)
        )
    scores = localizations.false_positive_scores
    return tuple(
        OperatingPoint(
            fpi=float(rate),
            threshold=float(thresholds[k]),
            threshold_interval=None if threshold_intervals is None else threshold_intervals[k],
            sensitivity=float(sensitivity[k]),
            sensitivity_interval=(
                None if sensitivity_intervals is None else sensitivity_intervals[k]
            ),
            attained_fpi=np.count_nonzero(scores >= thresholds[k]) / localizations.num_images,
            attained_fpi_interval=None if fpi_intervals is None else fpi_intervals[k],
            is_reached=bool(thresholds[k] > 0),
        )
        for k, rate in enumerate(fpi)
    )


def thresholds_at(localizations: Localizations, fpi: Sequence[float]) -> np.ndarray:
    """The lowest threshold within each rate.

    Args:
        localizations: what was found at which score.
        fpi: K rates of false positives per image.

    Returns:
        (K,): a score; 0 where all detections together stay within the rate; infinite where those
        of the highest score alone exceed it.
    """
    curve = froc_curve(localizations)
    last = curve.last_within(fpi)
    return np.where(last == len(curve.thresholds) - 1, 0.0, curve.thresholds[last])


def resampled_thresholds(
    localizations: Localizations, patients: np.ndarray, weights: np.ndarray, fpi: Sequence[float]
) -> np.ndarray:
    """:func:`thresholds_at` of each resample of the patients.

    Args:
        localizations: what was found at which score in the set.
        patients: (N,) the patient of each image.
        weights: (B, P) how often each patient is in each resample.
        fpi: K rates of false positives per image.

    Returns:
        (B, K) thresholds, infinite where nothing may be shown.
    """
    num_images = weights @ np.bincount(patients, minlength=weights.shape[1])
    budgets = false_positive_budgets(fpi, num_images)  # (B, K)

    order = np.argsort(-localizations.false_positive_scores, kind="stable")
    falling = localizations.false_positive_scores[order]
    false_positive_patients = patients[localizations.false_positive_images[order]]
    found = localizations.lesion_scores > -np.inf
    scores = np.concatenate([localizations.lesion_scores[found], falling])
    score_patients = np.concatenate(
        [patients[localizations.lesion_images[found]], false_positive_patients]
    )
    rising_order = np.argsort(scores, kind="stable")
    rising, rising_patients = scores[rising_order], score_patients[rising_order]

    thresholds = np.zeros(budgets.shape)
    for row, times_drawn in enumerate(weights):
        false_positives = np.cumsum(times_drawn[false_positive_patients])
        first_excess = np.searchsorted(false_positives, budgets[row], side="right")
        exceeded = first_excess < len(falling)
        # The lowest score of this resample above that of the first false positive too many.
        present = np.append(rising[times_drawn[rising_patients] > 0], NOTHING_SHOWN)
        too_low = falling[first_excess[exceeded]]
        thresholds[row, exceeded] = present[np.searchsorted(present, too_low, side="right")]
    return thresholds


def _resampled_fpi(
    localizations: Localizations, patients: np.ndarray, weights: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """(B, K) false positives per image of each resample at K fixed thresholds."""
    shown = localizations.false_positive_scores[:, None] >= thresholds  # (F, K)
    of_patient = np.zeros((weights.shape[1], len(thresholds)))
    np.add.at(of_patient, patients[localizations.false_positive_images], shown)
    num_images = weights @ np.bincount(patients, minlength=weights.shape[1])
    return (weights @ of_patient) / num_images[:, None]
