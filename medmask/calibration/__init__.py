"""Calibration: from scores to probabilities, and score thresholds at given false-positive rates."""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.calibration.application import (
        AppliedCalibration,
        StoredCalibration,
        read_calibration,
    )
    from medmask.calibration.calibrate import calibrate_scores
    from medmask.calibration.identity import hash_detections, hash_ground_truth
    from medmask.calibration.plot import plot_calibration
    from medmask.calibration.report import calibration_to_json, format_calibration
    from medmask.calibration.results import Calibration, CalibrationSource
    from medmask.calibration.settings import UNCALIBRATED, CalibrationSettings
    from medmask.calibration.stored_report import CalibrationReport, read_calibration_report
    from medmask.utils.file_hash import hash_weights_file

__all__ = [
    "UNCALIBRATED",
    "AppliedCalibration",
    "Calibration",
    "CalibrationReport",
    "CalibrationSettings",
    "CalibrationSource",
    "StoredCalibration",
    "calibrate_scores",
    "calibration_to_json",
    "format_calibration",
    "hash_detections",
    "hash_ground_truth",
    "hash_weights_file",
    "plot_calibration",
    "read_calibration",
    "read_calibration_report",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "UNCALIBRATED": "medmask.calibration.settings",
        "AppliedCalibration": "medmask.calibration.application",
        "Calibration": "medmask.calibration.results",
        "CalibrationReport": "medmask.calibration.stored_report",
        "CalibrationSettings": "medmask.calibration.settings",
        "CalibrationSource": "medmask.calibration.results",
        "StoredCalibration": "medmask.calibration.application",
        "calibrate_scores": "medmask.calibration.calibrate",
        "calibration_to_json": "medmask.calibration.report",
        "format_calibration": "medmask.calibration.report",
        "hash_detections": "medmask.calibration.identity",
        "hash_ground_truth": "medmask.calibration.identity",
        "hash_weights_file": "medmask.utils.file_hash",
        "plot_calibration": "medmask.calibration.plot",
        "read_calibration": "medmask.calibration.application",
        "read_calibration_report": "medmask.calibration.stored_report",
    },
)
