"""The figures of a row of the table, and how far they would move with other patients.

All figures of all rows are computed on the same resamples of the patients, so that the difference
of two rows has an interval of its own: patients who are hard for both count for neither.
"""

from collections.abc import Mapping

import numpy as np

from medmask.evaluation.bootstrap import (
    draw_patients,
    percentile_interval,
    resampled_auc,
    resampled_sensitivity,
)
from medmask.evaluation.classification import score_images
from medmask.evaluation.coco_matching import match_by_coco
from medmask.evaluation.matching import localize
from medmask.evaluation.paired_differences import PairedDifference, paired_difference
from medmask.evaluation.settings import CPM_POINTS
from medmask.evaluation.structures import Detections, GroundTruth
from medmask.evaluation.suppression import suppress_overlaps

OPERATING_POINTS = (0.3, 0.5, 1.0, 2.0, 4.0)
METRICS = (*(f"R@{point:g}" for point in OPERATING_POINTS), "CPM", "AP50", "image AUC")
NMS_IOU = 0.1
_RECALLS = np.linspace(0, 1, 101)
_MOST_DETECTIONS = 100

Samples = np.ndarray
"""(1 + B, M): each of :data:`METRICS`, first of the patients as they are, then of B resamples."""


def patient_weights(ground_truth: GroundTruth, resamples: int, seed: int) -> np.ndarray:
    """(1 + B, P): how often each patient counts; the first row counts each once."""
    num_patients = int(ground_truth.patient_groups().max()) + 1
    drawn = draw_patients(num_patients, resamples, seed)
    return np.concatenate([np.ones((1, num_patients), dtype=np.int64), drawn])


def measure(ground_truth: GroundTruth, detections: Detections, weights: np.ndarray) -> Samples:
    """Compute all metrics for each row of weights.

    Sensitivities and the AUC are computed after the suppression that FROC analysis has here, AP50
    before it, by COCO's protocol.

    Args:
        ground_truth: of one category.
        detections: on its images.
        weights: (S, P) from :func:`patient_weights`.

    Returns:
        (S, M), NaN where a metric is undefined.
    """
    patients = ground_truth.patient_groups()
    kept = suppress_overlaps(detections, NMS_IOU)
    localizations = localize(ground_truth, kept)
    points = (*OPERATING_POINTS, *CPM_POINTS)
    sensitivity = resampled_sensitivity(localizations, patients, weights, points)
    at_points, at_cpm = np.split(sensitivity, [len(OPERATING_POINTS)], axis=1)
    images = score_images(ground_truth, kept.select(~localizations.ignored))
    columns = (
        at_cpm.mean(axis=1),
        resampled_ap50(ground_truth, detections, weights[:, patients]),
        resampled_auc(images, weights),
    )
    return np.column_stack([at_points, *columns])


def resampled_ap50(
    ground_truth: GroundTruth, detections: Detections, weights: np.ndarray
) -> np.ndarray:
    """COCO's average precision at IoU 0.50 of each resample.

    Which detection matches which lesion is settled in each image by itself, so a resample only
    counts the image's matches as often as it has the image.

    Args:
        ground_truth: of one category.
        detections: on its images.
        weights: (S, N) how often each image is in each resample.

    Returns:
        (S,) in [0, 1], NaN for resamples without lesions.
    """
    order = np.lexsort((-detections.scores, detections.image_indices))
    ordered = detections.select(order)
    starts = np.searchsorted(ordered.image_indices, np.arange(ground_truth.num_images))
    rank = np.arange(len(ordered)) - starts[ordered.image_indices]
    ordered = ordered.select(rank < _MOST_DETECTIONS)
    matches = match_by_coco(ground_truth, ordered)
    by_score = np.argsort(-ordered.scores, kind="stable")
    is_hit = matches.true_positives[by_score, 0, 0]
    is_miss = matches.false_positives[by_score, 0, 0]
    images = ordered.image_indices[by_score]
    lesion_images = ground_truth.image_indices[matches.counted_lesions[:, 0]]
    result = np.full(len(weights), np.nan)
    for row, times in enumerate(weights):
        num_lesions = int(times[lesion_images].sum())
        if num_lesions:
            hits = np.cumsum(np.where(is_hit, times[images], 0))
            misses = np.cumsum(np.where(is_miss, times[images], 0))
            result[row] = _average_precision(hits, misses, num_lesions)
    return result


def _average_precision(hits: np.ndarray, misses: np.ndarray, num_lesions: int) -> float:
    """Mean over 101 recalls of the highest precision at that recall or a higher one."""
    counted = hits + misses > 0
    hits, misses = hits[counted], misses[counted]
    precision = hits / (hits + misses)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(hits / num_lesions, _RECALLS, side="left")
    return float(np.append(highest, 0)[first].mean())


def over_seeds(samples: Mapping[int, Samples]) -> Samples:
    """The mean over trainings with several seeds, resample by resample."""
    return np.mean(list(samples.values()), axis=0)


def compare_seeds(
    ours: Mapping[int, Samples], other: Mapping[int, Samples]
) -> Mapping[str, PairedDifference]:
    """Difference of two rows, ours minus the other, over the seeds that both have, each metric.

    This tells of other seeds and the same patients, where :func:`compare` tells of other patients
    and the same seeds.
    """
    seeds = sorted(ours.keys() & other.keys())
    return {
        name: paired_difference(
            [float(ours[seed][0, column]) for seed in seeds],
            [float(other[seed][0, column]) for seed in seeds],
        )
        for column, name in enumerate(METRICS)
    }


def summarize(samples: Samples) -> dict[str, tuple[float, float, float]]:
    """Value and 95% interval of each metric."""
    intervals = percentile_interval(samples[1:]) if len(samples) > 1 else None
    return {
        name: (
            float(samples[0, column]),
            *(map(float, intervals[column]) if intervals is not None else (np.nan, np.nan)),
        )
        for column, name in enumerate(METRICS)
    }


def compare(ours: Samples, other: Samples) -> Mapping[str, tuple[float, float, float]]:
    """Difference of two rows, ours minus the other, with its 95% interval, for each metric."""
    return summarize(ours - other)
