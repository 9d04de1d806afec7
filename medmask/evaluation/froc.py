"""Free-response receiver operating characteristic: lesion sensitivity per false positive.

The curve of Bunch et al., "A free response approach to the measurement and characterization of
radiographic observer performance" (1978): as the score threshold falls, the fraction of lesions
found against the number of false positives per image. It is exact: its thresholds are the scores
themselves, and all detections of equal score enter together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from medmask.evaluation.matching import Localizations
from medmask.evaluation.settings import CPM_POINTS


@dataclass(frozen=True)
class FrocCurve:
    """The points of an FROC curve, from the strictest threshold to the loosest.

    Attributes:
        thresholds: (T,) falling scores; the first is inf, where nothing is detected.
        false_positives: (T,) int, detections of at least that score that hit nothing.
        lesions_found: (T,) int, lesions hit by a detection of at least that score.
        num_images: images over which false positives are averaged.
        num_lesions: lesions that could be found.
    """

    thresholds: np.ndarray
    false_positives: np.ndarray
    lesions_found: np.ndarray
    num_images: int
    num_lesions: int

    @property
    def fpi(self) -> np.ndarray:
        """(T,) false positives per image."""
        return self.false_positives / self.num_images

    @property
    def sensitivity(self) -> np.ndarray:
        """(T,) in [0, 1]; NaN where the set has no lesion."""
        if self.num_lesions == 0:
            return np.full(len(self.thresholds), np.nan)
        return self.lesions_found / self.num_lesions

    def last_within(self, fpi: Sequence[float]) -> np.ndarray:
        """Index the last points within K rates of false positives per image: (K,) int64."""
        budgets = false_positive_budgets(fpi, np.array(self.num_images))
        return np.searchsorted(self.false_positives, budgets, side="right") - 1

    def corners(self) -> "FrocCurve":
        """The same staircase with only the points where the sensitivity rises, and both ends."""
        keep = np.diff(self.lesions_found, prepend=-1) > 0
        keep[-1] = True
        return FrocCurve(
            thresholds=self.thresholds[keep],
            false_positives=self.false_positives[keep],
            lesions_found=self.lesions_found[keep],
            num_images=self.num_images,
            num_lesions=self.num_lesions,
        )


def froc_curve(localizations: Localizations) -> FrocCurve:
    """The exact curve, with a point at each score that finds a lesion or adds a false positive."""
    found = localizations.lesion_scores[localizations.lesion_scores > -np.inf]
    false_positives = localizations.false_positive_scores
    scores = np.unique(np.concatenate([found, false_positives]))[::-1]
    thresholds = np.concatenate([[np.inf], scores])
    return FrocCurve(
        thresholds=thresholds,
        false_positives=_count_at_least(false_positives, thresholds),
        lesions_found=_count_at_least(found, thresholds),
        num_images=localizations.num_images,
        num_lesions=len(localizations.lesion_scores),
    )


def sensitivity_at(localizations: Localizations, fpi: Sequence[float]) -> np.ndarray:
    """The highest sensitivity of any score threshold within a rate of false positives.

    Args:
        localizations: what was found at which score.
        fpi: K rates of false positives per image.

    Returns:
        (K,) sensitivities in [0, 1], NaN if the set has no lesion.
    """
    num_lesions = len(localizations.lesion_scores)
    if num_lesions == 0:
        return np.full(len(fpi), np.nan)
    curve = froc_curve(localizations)
    return curve.lesions_found[curve.last_within(fpi)] / num_lesions


def competition_performance_metric(localizations: Localizations) -> float:
    """The competition performance metric (CPM): the mean sensitivity at :data:`CPM_POINTS`.

    It is steadier than the sensitivity at one operating point.

    Args:
        localizations: what was found at which score.

    Returns:
        A mean in [0, 1], NaN if the set has no lesion.
    """
    return float(sensitivity_at(localizations, CPM_POINTS).mean())


def false_positive_budgets(fpi: Sequence[float], num_images: np.ndarray) -> np.ndarray:
    """Count the false positives that a rate per image (FPI) allows in all.

    Counted in integers: 0.3 per image over 10 images allows 3, although 0.3 has no exact binary
    form. A rate stands for the fraction nearest to it with a denominator up to a million.

    Args:
        fpi: K rates of false positives per image, at least 0.
        num_images: (...) int64 numbers of images.

    Returns:
        (..., K) int64, the largest whole number of false positives that does not exceed each rate.
    """
    fractions = [Fraction(rate).limit_denominator(10**6) for rate in fpi]
    numerators = np.array([fraction.numerator for fraction in fractions], dtype=np.int64)
    denominators = np.array([fraction.denominator for fraction in fractions], dtype=np.int64)
    return num_images[..., None] * numerators // denominators


def _count_at_least(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(S,), (T,) -> (T,) int64: how many scores reach each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
