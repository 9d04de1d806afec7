"""Findings of a calibration."""

from dataclasses import dataclass

from medmask.calibration.calibrators import Calibrator
from medmask.calibration.reliability import Reliability
from medmask.calibration.settings import CalibrationSettings
from medmask.calibration.thresholds import OperatingPoint


@dataclass(frozen=True)
class CalibrationSource:
    """Identity of the weights and of the data that a calibration is made of.

    Attributes:
        weights_file: name of the checkpoint's file.
        weights_sha256: of the checkpoint's file.
        config: identity of the config that the model ran with; None where detections came from a
            file, which does not tell it.
        data_name: of the labeled set.
        data_sha256: of its images, patients and lesions (:func:`~.identity.hash_ground_truth`).
        detections_sha256: of the detections, before the suppression.
    """

    weights_file: str
    weights_sha256: str
    config: str | None
    data_name: str
    data_sha256: str
    detections_sha256: str


@dataclass(frozen=True)
class CalibrationCounts:
    """Sizes of what was calibrated on; ``patients`` counts images without a patient id singly."""

    images: int
    images_with_lesions: int
    patients: int
    lesions: int
    detections: int
    detections_after_nms: int
    detections_calibrated: int
    hits_calibrated: int


@dataclass(frozen=True)
class ScoreCalibration:
    """Scores to probabilities, of detections or of images.

    Attributes:
        calibrator: fitted to all patients.
        reliability: of the method, out of fold; None for a single patient.
        reliability_of_scores: of the scores, taken for probabilities.
    """

    calibrator: Calibrator
    reliability: Reliability | None
    reliability_of_scores: Reliability


@dataclass(frozen=True)
class Calibration:
    """Everything that a calibration found.

    Attributes:
        settings: what was counted, and how.
        source: of weights and data.
        counts: sizes of what was calibrated on.
        lowest_score: detections of at least this score were calibrated on: those that the highest
            operating point shows.
        detections: from a detection's score to the probability that it lies on a lesion.
        images: from an image's highest score to the probability that it has a lesion.
        operating_points: thresholds.
        warnings: sentences on what could not be computed, or rests on little.
    """

    settings: CalibrationSettings
    source: CalibrationSource
    counts: CalibrationCounts
    lowest_score: float
    detections: ScoreCalibration
    images: ScoreCalibration
    operating_points: tuple[OperatingPoint, ...]
    warnings: tuple[str, ...]
