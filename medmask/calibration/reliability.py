"""Reliability of probabilities: whether of those called 30% three in ten are lesions.

Measured out of fold: the probabilities of a patient's images come from a calibration of other
patients. The expected calibration error (ECE) is the mean distance of probability and observed
share over bins of about equally many samples (Nixon et al., "Measuring calibration in deep
learning", 2019, adaptive bins), weighted by their counts; the Brier score is the mean squared
distance of probability and label. Intervals are by the bootstrap over patients; as noise only adds
to the ECE, its interval lies a little high.
"""

from dataclasses import dataclass

import numpy as np

from medmask.calibration.calibrators import fit_calibrator
from medmask.evaluation.bootstrap import percentile_interval
from medmask.evaluation.classification import ScoredUnits

_MOST_BINS = 10
_LEAST_IN_BIN = 10


@dataclass(frozen=True)
class Reliability:
    """The reliability diagram of N samples in B bins of rising probability, and what it sums to.

    Attributes:
        counts: (B,) samples in each bin.
        positives: (B,) of them lesions, or images with a lesion.
        probabilities: (B,) mean probability in each bin.
        observed: (B,) share of the positives.
        observed_intervals: (B, 2) its 95% interval, None without the bootstrap.
        ece: expected calibration error, in [0, 1].
        ece_interval: (2,) its 95% interval, None without the bootstrap.
        brier: Brier score, in [0, 1].
    """

    counts: np.ndarray
    positives: np.ndarray
    probabilities: np.ndarray
    observed: np.ndarray
    observed_intervals: np.ndarray | None
    ece: float
    ece_interval: np.ndarray | None
    brier: float


def out_of_fold(method: str, units: ScoredUnits, num_folds: int, seed: int) -> np.ndarray | None:
    """The probability of each unit by a calibration of other patients.

    Args:
        method: of calibration.
        units: scored and labeled, of P patients, at least one unit.
        num_folds: parts of the patients, as many as there are patients at most.
        seed: of the division.

    Returns:
        (U,) probabilities; None for a single patient.
    """
    folds = patient_folds(units, num_folds, seed)
    if not folds.any():
        return None
    probabilities = np.empty(len(units.scores))
    for fold in range(folds.max() + 1):
        inside = folds == fold
        others = ScoredUnits(units.scores[~inside], units.labels[~inside], units.patients[~inside])
        probabilities[inside] = fit_calibrator(method, others)(units.scores[inside])
    return probabilities


def patient_folds(units: ScoredUnits, num_folds: int, seed: int) -> np.ndarray:
    """Divide the patients of the units at random, those with a positive unit evenly.

    Returns:
        (U,) int64 fold of each unit, counted from 0, the same for all units of a patient.
    """
    patients, index = np.unique(units.patients, return_inverse=True)
    has_positive = np.bincount(index, weights=units.labels) > 0
    shuffled = np.random.default_rng(seed).permutation(len(patients))
    order = shuffled[np.argsort(~has_positive[shuffled], kind="stable")]
    folds = np.empty(len(patients), dtype=np.int64)
    folds[order] = np.arange(len(patients)) % num_folds
    return folds[index]


def measure_reliability(
    probabilities: np.ndarray, units: ScoredUnits, weights: np.ndarray | None
) -> Reliability:
    """Compare probabilities with labels.

    Args:
        probabilities: (U,) in [0, 1], at least one.
        units: U labeled units.
        weights: (R, P) how often each patient is in each of R resamples
            (:func:`medmask.evaluation.bootstrap.draw_patients`); None for no intervals.
    """
    bins = equal_count_bins(probabilities)
    sums = _sum_by_bin(np.column_stack([np.ones(len(bins)), units.labels, probabilities]), bins)
    observed_intervals = ece_interval = None
    if weights is not None:
        resampled = _resample(probabilities, units, bins, weights)
        with np.errstate(invalid="ignore"):
            observed_intervals = percentile_interval(resampled[..., 1] / resampled[..., 0])
        ece_interval = percentile_interval(_calibration_error(resampled))
    counts, positives, total = sums.T
    return Reliability(
        counts=counts.astype(np.int64),
        positives=positives.astype(np.int64),
        probabilities=total / counts,
        observed=positives / counts,
        observed_intervals=observed_intervals,
        ece=float(_calibration_error(sums)),
        ece_interval=ece_interval,
        brier=float(np.mean((probabilities - units.labels) ** 2)),
    )


def equal_count_bins(values: np.ndarray) -> np.ndarray:
    """Number the bins, rising, of about equally many values each; equal values share a bin.

    There are 10 bins, fewer where they would hold fewer than 10 values each or values are equal.

    Returns:
        (N,) int64, counted from 0, each bin at least once.
    """
    number = int(np.clip(len(values) // _LEAST_IN_BIN, 1, _MOST_BINS))
    first_place = np.searchsorted(np.sort(values), values, side="left")
    return np.unique(first_place * number // len(values), return_inverse=True)[1]


def _sum_by_bin(columns: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """(N, C), (N,) -> (B, C) sums."""
    sums = np.zeros((bins.max() + 1, columns.shape[1]))
    np.add.at(sums, bins, columns)
    return sums


def _resample(
    probabilities: np.ndarray, units: ScoredUnits, bins: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(R, B, 3): count, positives and summed probability of each bin in each resample."""
    number = bins.max() + 1
    columns = np.column_stack([np.ones(len(bins)), units.labels, probabilities])
    sums = np.zeros((weights.shape[1], number, 3))
    np.add.at(sums, (units.patients, bins), columns)
    flat = weights @ sums.reshape(weights.shape[1], -1)
    return flat.reshape(len(weights), number, 3)


def _calibration_error(sums: np.ndarray) -> np.ndarray:
    """(..., B, 3) count, positives, summed probability -> (...) ECE, NaN of nothing."""
    distance = np.abs(sums[..., 1] - sums[..., 2]).sum(axis=-1)
    total = sums[..., 0].sum(axis=-1)
    return np.divide(distance, total, out=np.full(total.shape, np.nan), where=total > 0)
