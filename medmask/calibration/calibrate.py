"""The whole calibration: from ground truth and detections to probabilities and thresholds.

A detection counts as one on a lesion if it hits one by the rule of the FROC evaluation, also where
a better detection has found that lesion. Detections that hit an ignored region alone are left out.

A detector gives many detections of low score, a few of which lie on lesions by chance. They would
decide the fit, although nobody sees them; so detections are calibrated on, and their calibration is
judged, from the score on that the highest operating point shows.
"""

import numpy as np

from medmask.calibration.calibrators import fit_calibrator
from medmask.calibration.logistic import LogisticCalibrator
from medmask.calibration.reliability import measure_reliability, out_of_fold
from medmask.calibration.results import (
    Calibration,
    CalibrationCounts,
    CalibrationSource,
    ScoreCalibration,
)
from medmask.calibration.settings import METHODS, CalibrationSettings
from medmask.calibration.thresholds import OperatingPoint, find_operating_points
from medmask.errors import InputError
from medmask.evaluation.bootstrap import draw_patients
from medmask.evaluation.classification import ScoredUnits, score_images
from medmask.evaluation.interval_warnings import warn_of_few_patients
from medmask.evaluation.matching import Localizations, localize
from medmask.evaluation.structures import Detections, GroundTruth
from medmask.evaluation.suppression import suppress_overlaps
from medmask.utils.counts import counted

_FEW_POSITIVES = 20
_FEW_FOR_ISOTONIC = 200


def calibrate_scores(
    ground_truth: GroundTruth,
    detections: Detections,
    source: CalibrationSource,
    settings: CalibrationSettings | None = None,
) -> Calibration:
    """Calibrate the scores of a detector.

    Args:
        ground_truth: all images of a labeled set that the weights were not trained on.
        detections: all detections on these images.
        source: of weights and data.
        settings: what to count, and how; the defaults if None.

    Raises:
        InputError: the set has no lesion, or there is no detection to calibrate.
    """
    settings = settings or CalibrationSettings()
    evaluation = settings.evaluation
    if ground_truth.num_lesions == 0:
        raise InputError(
            f"{source.data_name} has no lesion, so nothing tells which scores lesions get: "
            "calibrate on a labeled set with lesions"
        )
    kept = suppress_overlaps(detections, evaluation.nms_iou)
    localizations = localize(ground_truth, kept, evaluation.iou_threshold, evaluation.hit_rule)
    if localizations.ignored.all():
        raise InputError(
            f"there is no detection on {source.data_name}, so there is no score to calibrate: "
            "give all detections, whatever their scores"
        )
    patients = ground_truth.patient_groups()
    weights = None
    if evaluation.bootstrap:
        weights = draw_patients(int(patients.max()) + 1, evaluation.bootstrap, evaluation.seed)
    points = find_operating_points(localizations, evaluation.operating_points, patients, weights)
    lowest_score = _lowest_score(points)
    shown = _score_detections(kept, localizations, patients, lowest_score)
    images = score_images(ground_truth, kept.select(~localizations.ignored))
    calibrated = [_calibrate_units(units, settings, weights) for units in (shown, images)]
    counts = CalibrationCounts(
        images=ground_truth.num_images,
        images_with_lesions=int(np.count_nonzero(images.labels)),
        patients=int(patients.max()) + 1,
        lesions=ground_truth.num_lesions,
        detections=len(detections),
        detections_after_nms=len(kept),
        detections_calibrated=len(shown.scores),
        hits_calibrated=int(np.count_nonzero(shown.labels)),
    )
    return Calibration(
        settings=settings,
        source=source,
        counts=counts,
        lowest_score=lowest_score,
        detections=calibrated[0],
        images=calibrated[1],
        operating_points=points,
        warnings=(
            *_warn_of_patients(ground_truth, counts),
            *_warn_of_intervals(images, counts, settings),
            *_warn_of_units("detections that hit a lesion", counts.hits_calibrated, settings),
            *_warn_of_images(counts, settings),
            *_warn_of_slopes(calibrated[0], calibrated[1], counts),
            *_warn_of_points(points),
        ),
    )


def _lowest_score(points: tuple[OperatingPoint, ...]) -> float:
    """The threshold of the highest rate; 0 where it shows nothing."""
    threshold = max(points, key=lambda point: point.fpi).threshold
    return threshold if np.isfinite(threshold) else 0.0


def _score_detections(
    detections: Detections, localizations: Localizations, patients: np.ndarray, lowest_score: float
) -> ScoredUnits:
    used = ~localizations.ignored & (detections.scores >= lowest_score)
    return ScoredUnits(
        scores=detections.scores[used],
        labels=localizations.hits[used],
        patients=patients[detections.image_indices[used]],
    )


def _calibrate_units(
    units: ScoredUnits, settings: CalibrationSettings, weights: np.ndarray | None
) -> ScoreCalibration:
    seed = settings.evaluation.seed
    held_out = out_of_fold(settings.method, units, settings.folds, seed)
    return ScoreCalibration(
        calibrator=fit_calibrator(settings.method, units),
        reliability=None if held_out is None else measure_reliability(held_out, units, weights),
        reliability_of_scores=measure_reliability(units.scores, units, weights),
    )


def _warn_of_patients(ground_truth: GroundTruth, counts: CalibrationCounts) -> list[str]:
    without_patient = ground_truth.patients.count(None)
    if counts.patients == 1:
        return [
            "All images are of one patient: nothing tells how good the probabilities are for "
            "others, and the intervals have no meaning."
        ]
    if without_patient:
        return [
            f"{without_patient} of {counted(counts.images, 'image')} without a patient_id, each "
            "counted as a patient of its own: calibration looks better, and intervals narrower, "
            "than they are if several images are of one patient."
        ]
    return []


def _warn_of_intervals(
    images: ScoredUnits, counts: CalibrationCounts, settings: CalibrationSettings
) -> list[str]:
    has_intervals = settings.evaluation.bootstrap and counts.patients > 1
    return warn_of_few_patients(images) if has_intervals else []


def _warn_of_units(kind: str, positives: int, settings: CalibrationSettings) -> list[str]:
    if positives < _FEW_POSITIVES:
        return [f"The number of {kind} is only {positives}, so their probabilities are rough."]
    if settings.method == METHODS[1] and positives < _FEW_FOR_ISOTONIC:
        return [
            f"The number of {kind} is only {positives}, which an isotonic calibration follows too "
            "closely: the logistic one is the safer choice."
        ]
    return []


def _warn_of_images(counts: CalibrationCounts, settings: CalibrationSettings) -> list[str]:
    without_lesion = counts.images - counts.images_with_lesions
    if not without_lesion:
        return [
            "All images have a lesion, so nothing tells which scores images without one get, and "
            "any image will get a high probability: calibrate on a set with both kinds."
        ]
    return [
        *_warn_of_units("images with a lesion", counts.images_with_lesions, settings),
        *_warn_of_units("images without a lesion", without_lesion, settings),
    ]


def _warn_of_slopes(
    detections: ScoreCalibration, images: ScoreCalibration, counts: CalibrationCounts
) -> list[str]:
    sentences = []
    parts = [("detections", detections)]
    if counts.images_with_lesions < counts.images:
        parts.append(("images", images))
    for kind, part in parts:
        calibrator = part.calibrator
        if isinstance(calibrator, LogisticCalibrator) and calibrator.slope == 0:
            sentences.append(
                f"Higher scores of {kind} are not more often right on this set, so all {kind} get "
                "one probability."
            )
    return sentences


def _warn_of_points(points: tuple[OperatingPoint, ...]) -> list[str]:
    sentences = []
    loose = [point for point in points if not point.is_reached]
    if loose:
        rate = counted(float(f"{loose[0].attained_fpi:.3g}"), "false positive")
        sentences.append(
            f"All detections together have {rate} per image, so the threshold at {_join(loose)} "
            "is 0."
        )
    strict = [point for point in points if not np.isfinite(point.threshold)]
    if strict:
        sentences.append(
            "The detections of the highest score alone have more false positives per image than "
            f"{_join(strict)}, so there is no threshold for that."
        )
    return sentences


def _join(points: list[OperatingPoint]) -> str:
    return " and ".join(f"{point.fpi:g}" for point in points)
