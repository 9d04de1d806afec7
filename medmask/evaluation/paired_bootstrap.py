"""Differences of two detectors on the same images, with intervals over patients.

Both are measured on the same resamples of the patients, and the difference is taken within each
resample: patients who are hard for both count for neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmask.evaluation.bootstrap import (
    draw_patients,
    percentile_interval,
    resampled_auc,
    resampled_sensitivity,
)
from medmask.evaluation.classification import score_images
from medmask.evaluation.matching import localize
from medmask.evaluation.settings import CPM_POINTS, EvaluationSettings
from medmask.evaluation.structures import Detections, GroundTruth
from medmask.evaluation.suppression import suppress_overlaps


@dataclass(frozen=True)
class MetricDifference:
    """The difference of a metric between two detectors.

    Attributes:
        metric: its name.
        value: of the first, in [0, 1]; NaN where undefined.
        control: of the other.
        interval: (2,) 95% interval of ``value - control``; NaN without resamples, and where a
            single patient has lesions.
    """

    metric: str
    value: float
    control: float
    interval: np.ndarray

    @property
    def difference(self) -> float:
        return self.value - self.control

    @property
    def excludes_zero(self) -> bool:
        """True if the interval does not hold 0."""
        lower, upper = self.interval
        return bool(lower > 0 or upper < 0)


def resampled_metrics(
    ground_truth: GroundTruth,
    detections: Detections,
    settings: EvaluationSettings,
    weights: np.ndarray,
) -> np.ndarray:
    """Measure a detector on resamples of the patients.

    Args:
        ground_truth: N images of P patients.
        detections: on them, before the suppression.
        settings: with K operating points.
        weights: (B, P) how often each patient is in each resample.

    Returns:
        (B, K + 2) sensitivities at the operating points, CPM and image AUC, NaN where undefined.
    """
    patients = ground_truth.patient_groups()
    kept = suppress_overlaps(detections, settings.nms_iou)
    localizations = localize(ground_truth, kept, settings.iou_threshold, settings.hit_rule)
    points = (*settings.operating_points, *CPM_POINTS)
    sensitivity = resampled_sensitivity(localizations, patients, weights, points)
    at_points, at_cpm = np.split(sensitivity, [len(settings.operating_points)], axis=1)
    images = score_images(ground_truth, kept.select(~localizations.ignored))
    auc = resampled_auc(images, weights)
    return np.column_stack([at_points, at_cpm.mean(axis=1), auc])


def compare_over_patients(
    ground_truth: GroundTruth,
    detections: Sequence[Detections],
    settings: EvaluationSettings,
) -> list[list[MetricDifference]]:
    """Compare detectors with the first of them, on the same resamples of the patients.

    Args:
        ground_truth: the images.
        detections: of each detector on them, the control first.
        settings: of the evaluation; ``bootstrap`` is the number of resamples.

    Returns:
        For each detector but the first the differences of R@x at each operating point, CPM and
        image AUC.
    """
    patients = ground_truth.patient_groups()
    num_patients = int(patients.max()) + 1
    # Resamples of one patient are all alike, and would make any difference look certain.
    is_resampled = len(np.unique(patients[ground_truth.images_with_lesions()])) > 1
    weights = np.concatenate(
        [
            np.ones((1, num_patients), dtype=np.int64),
            draw_patients(num_patients, settings.bootstrap, settings.seed),
        ]
    )
    control, *others = (
        resampled_metrics(ground_truth, each, settings, weights) for each in detections
    )
    names = [*(f"R@{point:g}" for point in settings.operating_points), "CPM", "image AUC"]
    comparisons = []
    for measured in others:
        intervals = np.full((len(names), 2), np.nan)
        if settings.bootstrap and is_resampled:
            intervals = percentile_interval(measured[1:] - control[1:])
        comparisons.append(
            [
                MetricDifference(name, float(value), float(other), interval)
                for name, value, other, interval in zip(
                    names, measured[0], control[0], intervals, strict=True
                )
            ]
        )
    return comparisons
