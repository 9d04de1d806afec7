"""What an evaluation is asked for, and what it finds."""

import math
from dataclasses import dataclass

import numpy as np

from medmask.errors import InputError
from medmask.evaluation.classification import ThresholdMetrics
from medmask.evaluation.froc import OPERATING_POINTS, FrocCurve

_MOST_RESAMPLES = 1_000_000
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class EvaluationSettings:
    """What is counted, and how.

    Attributes:
        operating_points: false positives per image at which sensitivities are reported.
        iou_threshold: None: a detection hits a lesion when its centre lies in the lesion's box;
            else when their IoU is at least this, in (0, 1].
        nms_iou: non-maximum suppression before anything else, in [0, 1]; None leaves it out.
        bootstrap: resamples of the patients for the 95% intervals, at most a million; 0 leaves the
            intervals out.
        seed: of the resampling.
        score: threshold in [0, 1] at which F1, sensitivity and specificity are reported beside the
            best one.

    Raises:
        InputError: for a value out of its range.
    """

    operating_points: tuple[float, ...] = OPERATING_POINTS
    iou_threshold: float | None = None
    nms_iou: float | None = 0.1
    bootstrap: int = 1000
    seed: int = 0
    score: float = 0.5

    def __post_init__(self) -> None:
        points = self.operating_points
        if not points or not all(math.isfinite(point) and point >= 0 for point in points):
            raise InputError(f"operating points must be finite and at least 0, got {points}")
        if self.iou_threshold is not None and not 0 < self.iou_threshold <= 1:
            raise InputError(f"the IoU of a hit must be in (0, 1], got {self.iou_threshold}")
        if self.nms_iou is not None and not 0 <= self.nms_iou <= 1:
            raise InputError(f"the IoU of the suppression must be in [0, 1], got {self.nms_iou}")
        for name, value, highest in (
            ("number of bootstrap resamples", self.bootstrap, _MOST_RESAMPLES),
            ("seed of the resampling", self.seed, _LARGEST_SEED),
        ):
            if type(value) is not int or not 0 <= value <= highest:
                raise InputError(
                    f"the {name} must be a whole number from 0 to {highest}, got {value!r}"
                )
        if not 0 <= self.score <= 1:
            raise InputError(f"the score threshold must be in [0, 1], got {self.score}")

    def positive_rates(self) -> tuple[float, ...]:
        """The operating points that a logarithmic axis can show, the usual ones if none can be."""
        return tuple(point for point in self.operating_points if point > 0) or OPERATING_POINTS


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
    """How well scores tell images, or breasts, with a lesion from those without.

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
    curve: FrocCurve
    band: ConfidenceBand | None
    categories: tuple[CategorySensitivity, ...]
    images: ClassificationResult
    breasts: ClassificationResult | None
    warnings: tuple[str, ...]
