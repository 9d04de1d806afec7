"""Findings of an evaluation."""

from dataclasses import dataclass

import numpy as np

from medmask.evaluation.classification import ThresholdMetrics
from medmask.evaluation.froc import FrocCurve
from medmask.evaluation.settings import EvaluationSettings


@dataclass(frozen=True)
class Counts:
    """Sizes of what was evaluated; ``patients`` and ``breasts`` are None where they are unknown."""

    images: int
    images_with_lesions: int
    lesions: int
    ignored_regions: int
    patients: int | None
    breasts: int | None
    detections: int
    detections_after_nms: int


@dataclass(frozen=True)
class ConfidenceBand:
    """The curve's 95% interval at each false-positive rate; lower and upper are (len(fpi),)."""

    fpi: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True)
class ClassificationResult:
    """Separation of images, or breasts, with a lesion from those without, by their scores.

    Attributes:
        auc: area under the ROC curve, NaN if all units are alike.
        auc_interval: (2,) its 95% interval, None without the bootstrap.
        best_f1: metrics at the score with the highest F1, None if no unit has a lesion.
        at_score: metrics at the given score.
    """

    auc: float
    auc_interval: np.ndarray | None
    best_f1: ThresholdMetrics | None
    at_score: ThresholdMetrics


@dataclass(frozen=True)
class CategorySensitivity:
    """One category by itself; ``sensitivity`` is (K,), at the operating points."""

    category_id: int
    name: str
    lesions: int
    sensitivity: np.ndarray


@dataclass(frozen=True)
class FrocResult:
    """Everything that an evaluation found. Fractions are in [0, 1], NaN where undefined.

    With several categories a lesion is found by detections of its own category only, and
    ``sensitivity`` and ``curve`` pool the lesions and the false positives of all of them.

    Attributes:
        settings: what was counted, and how.
        counts: sizes of what was evaluated.
        sensitivity: (K,) at the K operating points of the settings.
        intervals: (K, 2) 95% intervals of the sensitivities, None without the bootstrap.
        cpm: competition performance metric, the mean sensitivity at 1/8, 1/4, ... 8 false positives
            per image (``CPM_POINTS``).
        cpm_interval: (2,) its 95% interval, None without the bootstrap.
        curve: the exact curve.
        band: the curve's 95% band, None without the bootstrap.
        categories: each category by itself.
        images: classification of images.
        breasts: classification of breasts, None if images lack patient ids or lateralities.
        warnings: sentences on what could not be computed, and on intervals that mean less.
    """

    settings: EvaluationSettings
    counts: Counts
    sensitivity: np.ndarray
    intervals: np.ndarray | None
    cpm: float
    cpm_interval: np.ndarray | None
    curve: FrocCurve
    band: ConfidenceBand | None
    categories: tuple[CategorySensitivity, ...]
    images: ClassificationResult
    breasts: ClassificationResult | None
    warnings: tuple[str, ...]
