"""The whole evaluation: from ground truth and detections to a result that can be reported."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmask.errors import InputError

from .bootstrap import draw_patients, percentile_interval, resampled_sensitivity
from .classification import (
    ScoredUnits,
    ThresholdMetrics,
    best_f1,
    metrics_at,
    roc_auc,
    score_breasts,
    score_images,
)
from .froc import OPERATING_POINTS, FrocCurve, froc_curve, sensitivity_at
from .matching import Localizations, localize
from .structures import Detections, GroundTruth
from .suppression import suppress_overlaps

_BAND_POINTS = 181


@dataclass(frozen=True)
class EvaluationSettings:
    """What is counted, and how.

    Attributes:
        operating_points: false positives per image at which sensitivities are reported.
        iou_threshold: None: a detection hits a lesion when its centre lies in the lesion's box;
            else when their IoU is at least this, in (0, 1].
        nms_iou: non-maximum suppression before anything else, in [0, 1]; None leaves it out.
        bootstrap: resamples of the patients for the 95% intervals; 0 leaves the intervals out.
        seed: of the resampling.
        score: threshold at which F1, sensitivity and specificity are reported beside the best one.

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
        if self.bootstrap < 0 or self.seed < 0:
            raise InputError(
                "the number of bootstrap resamples and the seed must be at least 0, "
                f"got {self.bootstrap} and {self.seed}"
            )
        if not math.isfinite(self.score):
            raise InputError(f"the score threshold must be finite, got {self.score}")


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


def evaluate_detections(
    ground_truth: GroundTruth,
    detections: Detections,
    settings: EvaluationSettings | None = None,
) -> FrocResult:
    """Evaluate the detections of a set of images.

    Args:
        ground_truth: all images of the set, with their lesions.
        detections: all detections on these images.
        settings: what to count, and how; the defaults if None.
    """
    settings = settings or EvaluationSettings()
    kept = detections
    if settings.nms_iou is not None:
        kept = suppress_overlaps(detections, settings.nms_iou)
    localizations = localize(ground_truth, kept, settings.iou_threshold)
    images = score_images(ground_truth, kept.select(~localizations.ignored))
    breasts = score_breasts(ground_truth, images)
    weights = None
    if settings.bootstrap:
        num_patients = int(images.patients.max()) + 1
        weights = draw_patients(num_patients, settings.bootstrap, settings.seed)
    intervals, band = _confidence(localizations, images.patients, weights, settings)
    return FrocResult(
        settings=settings,
        counts=_count(ground_truth, breasts, len(detections), len(kept)),
        sensitivity=sensitivity_at(localizations, settings.operating_points),
        intervals=intervals,
        curve=froc_curve(localizations),
        band=band,
        categories=_by_category(ground_truth, localizations, settings.operating_points),
        images=_classify(images, weights, settings.score),
        breasts=None if breasts is None else _classify(breasts, weights, settings.score),
        warnings=tuple(_warnings(ground_truth, images, breasts, settings)),
    )


def positive_rates(settings: EvaluationSettings) -> tuple[float, ...]:
    """The operating points that a logarithmic axis can show, the usual ones if none can be."""
    return tuple(point for point in settings.operating_points if point > 0) or OPERATING_POINTS


def _confidence(
    localizations: Localizations,
    patients: np.ndarray,
    weights: np.ndarray | None,
    settings: EvaluationSettings,
) -> tuple[np.ndarray | None, ConfidenceBand | None]:
    """Intervals at the operating points, and the band of the curve."""
    if weights is None:
        return None, None
    points = len(settings.operating_points)
    shown = positive_rates(settings)
    band_fpi = np.geomspace(min(shown) / 2, max(shown) * 2, _BAND_POINTS)
    rates = (*settings.operating_points, *band_fpi)
    sensitivity = resampled_sensitivity(localizations, patients, weights, rates)
    intervals = percentile_interval(sensitivity)
    lower, upper = intervals[points:].T
    return intervals[:points], ConfidenceBand(band_fpi, lower, upper)


def _by_category(
    ground_truth: GroundTruth, localizations: Localizations, fpi: Sequence[float]
) -> tuple[CategorySensitivity, ...]:
    results = []
    for index, category_id in enumerate(ground_truth.category_ids):
        of_category = localizations.of_category(index)
        results.append(
            CategorySensitivity(
                category_id=category_id,
                name=ground_truth.category_names[index],
                lesions=len(of_category.lesion_scores),
                sensitivity=sensitivity_at(of_category, fpi),
            )
        )
    return tuple(results)


def _classify(units: ScoredUnits, weights: np.ndarray | None, score: float) -> ClassificationResult:
    interval = None
    if weights is not None:
        interval = percentile_interval(roc_auc(units, weights[:, units.patients]))
    return ClassificationResult(
        auc=float(roc_auc(units, np.ones((1, len(units.scores))))[0]),
        auc_interval=interval,
        best_f1=best_f1(units),
        at_score=metrics_at(units, score),
    )


def _count(
    ground_truth: GroundTruth, breasts: ScoredUnits | None, before_nms: int, after_nms: int
) -> Counts:
    patients = set(ground_truth.patients)
    return Counts(
        images=ground_truth.num_images,
        images_with_lesions=int(np.count_nonzero(ground_truth.images_with_lesions())),
        lesions=ground_truth.num_lesions,
        ignored_regions=int(np.count_nonzero(ground_truth.is_crowd)),
        patients=None if None in patients else len(patients),
        breasts=None if breasts is None else len(breasts.scores),
        detections=before_nms,
        detections_after_nms=after_nms,
    )


def _warnings(
    ground_truth: GroundTruth,
    images: ScoredUnits,
    breasts: ScoredUnits | None,
    settings: EvaluationSettings,
) -> list[str]:
    sentences = []
    total = ground_truth.num_images
    if ground_truth.num_lesions == 0:
        sentences.append(
            f"None of the {total} images has a lesion, so there is no sensitivity to report; "
            "the false positives are still counted."
        )
    if images.labels.all() or not images.labels.any():
        sentences.append("The AUC needs images with and without lesions, so it is undefined here.")
    without_patient = ground_truth.patients.count(None)
    if settings.bootstrap and without_patient:
        sentences.append(
            f"{without_patient} of {total} images carry no patient_id and are resampled singly: "
            "the intervals are too narrow if several images are of one patient."
        )
    if settings.bootstrap and not images.patients.any():
        sentences.append("All images are of one patient, so the intervals have no meaning.")
    if breasts is None and any(side is not None for side in ground_truth.lateralities):
        sentences.append(
            "Breast-level metrics are left out: they need patient_id and laterality on every image."
        )
    return sentences
