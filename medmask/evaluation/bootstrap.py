"""Confidence intervals by the bootstrap over patients.

Images of one patient are not independent, so patients are resampled with replacement, each with all
its images, lesions and detections (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
percentile intervals). A resample is a row of weights: how often each patient was drawn.
"""

from collections.abc import Sequence

import numpy as np

from medmask.evaluation.classification import ScoredUnits, roc_auc
from medmask.evaluation.froc import false_positive_budgets
from medmask.evaluation.matching import Localizations

_MOST_WEIGHTS = 2**20
"""Of all units in the resamples that are measured at a time: those of all would take gigabytes."""


def draw_patients(num_patients: int, num_resamples: int, seed: int) -> np.ndarray:
    """Draw ``num_patients`` patients with replacement, ``num_resamples`` times.

    Returns:
        (B, P) int64 weights: how often each patient is in each resample; the rows sum to P.
    """
    drawn = np.random.default_rng(seed).integers(num_patients, size=(num_resamples, num_patients))
    drawn += np.arange(num_resamples)[:, None] * num_patients
    counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_patients)
    return counts.reshape(num_resamples, num_patients)


def resampled_sensitivity(
    localizations: Localizations,
    patients: np.ndarray,
    weights: np.ndarray,
    fpi: Sequence[float],
) -> np.ndarray:
    """The sensitivity at each operating point (:func:`sensitivity_at`) of each resample.

    Args:
        localizations: what was found at which score in the set.
        patients: (N,) the patient of each image.
        weights: (B, P) from :func:`draw_patients`.
        fpi: K rates of false positives per image.

    Returns:
        (B, K) sensitivities, NaN for resamples without a lesion.
    """
    num_images = weights @ np.bincount(patients, minlength=weights.shape[1])
    budgets = false_positive_budgets(fpi, num_images)  # (B, K)

    lesion_order = np.argsort(-localizations.lesion_scores, kind="stable")
    lesion_patients = patients[localizations.lesion_images[lesion_order]]

    false_positive_order = np.argsort(-localizations.false_positive_scores, kind="stable")
    scores = localizations.false_positive_scores[false_positive_order]
    false_positive_patients = patients[localizations.false_positive_images[false_positive_order]]
    # A threshold stays within the budget as long as it is above the first false positive that
    # exceeds it; past the last false positive nothing does, and every hit counts.
    found = np.sort(localizations.lesion_scores[localizations.lesion_scores > -np.inf])
    found_above = len(found) - np.searchsorted(found, scores, side="right")
    found_above = np.append(found_above, len(found))

    sensitivity = np.full(budgets.shape, np.nan)
    for row, times_drawn in enumerate(weights):
        lesions = np.cumsum(times_drawn[lesion_patients])
        if len(lesions) == 0 or lesions[-1] == 0:
            continue
        false_positives = np.cumsum(times_drawn[false_positive_patients])
        first_excess = np.searchsorted(false_positives, budgets[row], side="right")
        lesions_found = np.append(0, lesions)[found_above[first_excess]]
        sensitivity[row] = lesions_found / lesions[-1]
    return sensitivity


def resampled_auc(units: ScoredUnits, weights: np.ndarray) -> np.ndarray:
    """The area under the ROC curve (:func:`roc_auc`) of each resample.

    Args:
        units: images or breasts of P patients.
        weights: (B, P) from :func:`draw_patients`.

    Returns:
        (B,) areas in [0, 1], NaN for resamples without positives or negatives.
    """
    rows = max(_MOST_WEIGHTS // len(units.scores), 1)
    parts = np.split(weights, np.arange(rows, len(weights), rows))
    return np.concatenate([roc_auc(units, part[:, units.patients]) for part in parts])


def percentile_interval(values: np.ndarray, level: float = 0.95) -> np.ndarray:
    """The central interval that holds ``level`` of the resampled values.

    Args:
        values: (B, ...) a statistic of B resamples; NaN where a resample does not define it.
        level: in (0, 1).

    Returns:
        (..., 2) lower and upper end, NaN where no resample defines the statistic.
    """
    interval = np.full((2, *values.shape[1:]), np.nan)
    defined = ~np.isnan(values).all(axis=0)
    tail = (1 - level) / 2
    interval[:, defined] = np.nanquantile(values[:, defined], [tail, 1 - tail], axis=0)
    return np.moveaxis(interval, 0, -1)


def interval_to_json(interval: np.ndarray | None) -> list[float] | None:
    """(2,) ends of an interval as JSON; null where it is undefined."""
    return None if interval is None or np.isnan(interval).any() else interval.tolist()
