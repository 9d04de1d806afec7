"""The whole evaluation: from ground truth and detections to a result that can be reported."""

from collections.abc import Sequence

import numpy as np

from medmask.evaluation.bootstrap import (
    draw_patients,
    percentile_interval,
    resampled_auc,
    resampled_sensitivity,
)
from medmask.evaluation.classification import (
    ScoredUnits,
    best_f1,
    metrics_at,
    roc_auc,
    score_breasts,
    score_images,
)
from medmask.evaluation.froc import (
    competition_performance_metric,
    froc_curve,
    sensitivity_at,
)
from medmask.evaluation.interval_warnings import warn_of_few_patients
from medmask.evaluation.matching import Localizations, localize
from medmask.evaluation.results import (
    CategorySensitivity,
    ClassificationResult,
    ConfidenceBand,
    Counts,
    FrocResult,
)
from medmask.evaluation.settings import CPM_POINTS, EvaluationSettings
from medmask.evaluation.structures import Detections, GroundTruth
from medmask.evaluation.suppression import suppress_overlaps
from medmask.utils.counts import counted

_BAND_POINTS = 181


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
    kept = suppress_overlaps(detections, settings.nms_iou)
    localizations = localize(ground_truth, kept, settings.iou_threshold, settings.hit_rule)
    images = score_images(ground_truth, kept.select(~localizations.ignored))
    breasts = score_breasts(ground_truth, images)
    weights = None
    if settings.bootstrap:
        num_patients = int(images.patients.max()) + 1
        weights = draw_patients(num_patients, settings.bootstrap, settings.seed)
    intervals, cpm_interval, band = _confidence(localizations, images.patients, weights, settings)
    of_images = _classify(images, weights, settings.score)
    return FrocResult(
        settings=settings,
        counts=_count(ground_truth, breasts, len(detections), len(kept)),
        sensitivity=sensitivity_at(localizations, settings.operating_points),
        intervals=intervals,
        cpm=competition_performance_metric(localizations),
        cpm_interval=cpm_interval,
        curve=froc_curve(localizations),
        band=band,
        categories=_by_category(ground_truth, localizations, settings.operating_points),
        images=of_images,
        breasts=None if breasts is None else _classify(breasts, weights, settings.score),
        warnings=(
            *_warnings(ground_truth, images, breasts, settings),
            *_warn_of_intervals(images, intervals, of_images.auc_interval),
        ),
    )


def _confidence(
    localizations: Localizations,
    patients: np.ndarray,
    weights: np.ndarray | None,
    settings: EvaluationSettings,
) -> tuple[np.ndarray | None, np.ndarray | None, ConfidenceBand | None]:
    """Intervals at the operating points, that of CPM, and the band of the curve."""
    if weights is None:
        return None, None, None
    points = len(settings.operating_points)
    shown = settings.positive_rates()
    band_fpi = np.geomspace(min(shown) / 2, max(shown) * 2, _BAND_POINTS)
    rates = (*settings.operating_points, *CPM_POINTS, *band_fpi)
    sensitivity = resampled_sensitivity(localizations, patients, weights, rates)
    at_points, at_cpm, on_band = np.split(sensitivity, [points, points + len(CPM_POINTS)], axis=1)
    lower, upper = percentile_interval(on_band).T
    return (
        percentile_interval(at_points),
        percentile_interval(at_cpm.mean(axis=1)),
        ConfidenceBand(band_fpi, lower, upper),
    )


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
        interval = percentile_interval(resampled_auc(units, weights))
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
        none = (
            "The image has no lesion" if total == 1 else f"None of the {total} images has a lesion"
        )
        sentences.append(
            f"{none}, so there is no sensitivity to report; the false positives are still counted."
        )
    if images.labels.all() or not images.labels.any():
        sentences.append("The AUC needs images with and without lesions, so it is undefined here.")
    without_patient = ground_truth.patients.count(None)
    if settings.bootstrap and without_patient:
        sentences.append(
            f"{without_patient} of {counted(total, 'image')} without a patient_id, resampled "
            "singly: the intervals are too narrow if several images are of one patient."
        )
    if breasts is None and any(side is not None for side in ground_truth.lateralities):
        sentences.append(
            "Breast-level metrics are left out: they need patient_id and laterality on every image."
        )
    return sentences


def _warn_of_intervals(
    images: ScoredUnits, intervals: np.ndarray | None, auc_interval: np.ndarray | None
) -> list[str]:
    """Tell where intervals look surer than they are; nothing without the bootstrap."""
    if intervals is None or auc_interval is None:
        return []
    if not images.patients.any():
        return ["All images are of one patient, so the intervals have no meaning."]
    sentences = warn_of_few_patients(images)
    lower, upper = np.vstack([intervals, auc_interval]).T
    if (lower == upper).any():
        sentences.append(
            "Where both ends of an interval are equal, all resamples gave one value, which does "
            "not say that other patients would."
        )
    return sentences
