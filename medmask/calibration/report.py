"""Showing a calibration: as strict JSON and as tables for the terminal."""

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from medmask.calibration.calibrators import calibrator_to_json
from medmask.calibration.reliability import Reliability
from medmask.calibration.results import Calibration, ScoreCalibration
from medmask.calibration.thresholds import OperatingPoint
from medmask.evaluation.bootstrap import interval_to_json
from medmask.evaluation.tables import decimal, interval_text, text_table
from medmask.utils.counts import counted
from medmask.utils.json_files import finite_or_none
from medmask.version import __version__

FORMAT = {"format": "medmask calibration", "version": 1}
"""Beginning of the file."""

_PACKAGES = ("numpy", "torch")


def calibration_to_json(calibration: Calibration) -> dict[str, Any]:
    """The calibration as JSON values: what :mod:`medmask.calibration.application` reads.

    Fractions are in [0, 1]. A threshold of null is that of a rate that even the highest scores
    exceed; intervals are null without the bootstrap, or where they are undefined.
    """
    settings = asdict(calibration.settings)
    evaluation = settings.pop("evaluation")
    counted = ("hit_rule", "iou_threshold", "nms_iou", "bootstrap", "seed")
    return {
        **FORMAT,
        "source": asdict(calibration.source),
        "settings": settings | {name: evaluation[name] for name in counted},
        "counts": asdict(calibration.counts),
        "lowest_score": calibration.lowest_score,
        "detections": _part_to_json(calibration.detections),
        "images": _part_to_json(calibration.images),
        "operating_points": [_point_to_json(point) for point in calibration.operating_points],
        "warnings": list(calibration.warnings),
        "versions": _versions(),
    }


def format_calibration(calibration: Calibration) -> str:
    """A short report for the terminal."""
    counts = calibration.counts
    return "\n".join(
        [
            f"{counted(counts.images, 'image')} of {counted(counts.patients, 'patient')}, "
            f"{counted(counts.lesions, 'lesion')} in "
            f"{counted(counts.images_with_lesions, 'image')}",
            f"calibrated on {counted(counts.detections_calibrated, 'detection')} of at least "
            f"{calibration.lowest_score:.3g}, {counts.hits_calibrated} of them on lesions, of "
            f"{counts.detections_after_nms} after suppression",
            "",
            _point_table(calibration.operating_points),
            "",
            _quality_table(calibration),
            "",
            "Probabilities hold where lesions are as common as here: in "
            f"{counts.images_with_lesions / counts.images:.1%} of the images.",
        ]
    )


def _part_to_json(part: ScoreCalibration) -> dict[str, Any]:
    return {
        "calibrator": calibrator_to_json(part.calibrator),
        "out_of_fold": part.reliability and _reliability_to_json(part.reliability),
        "scores_as_they_are": _reliability_to_json(part.reliability_of_scores),
    }


def _reliability_to_json(reliability: Reliability) -> dict[str, Any]:
    intervals = reliability.observed_intervals
    return {
        "ece": reliability.ece,
        "ece_interval": interval_to_json(reliability.ece_interval),
        "brier": reliability.brier,
        "bins": {
            "count": reliability.counts.tolist(),
            "positives": reliability.positives.tolist(),
            "probability": reliability.probabilities.tolist(),
            "observed": reliability.observed.tolist(),
            "observed_interval": (
                None if intervals is None else [interval_to_json(each) for each in intervals]
            ),
        },
    }


def _point_to_json(point: OperatingPoint) -> dict[str, Any]:
    return {
        "fpi": point.fpi,
        "threshold": finite_or_none(point.threshold),
        "threshold_interval": interval_to_json(point.threshold_interval),
        "sensitivity": point.sensitivity,
        "sensitivity_interval": interval_to_json(point.sensitivity_interval),
        "attained_fpi": point.attained_fpi,
        "attained_fpi_interval": interval_to_json(point.attained_fpi_interval),
        "is_reached": point.is_reached,
    }


def _versions() -> dict[str, str]:
    versions = {"medmask": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _point_table(points: tuple[OperatingPoint, ...]) -> str:
    rows = [
        [
            f"{point.fpi:g}",
            decimal(point.threshold),
            interval_text(point.threshold_interval),
            decimal(point.sensitivity),
            interval_text(point.sensitivity_interval),
            decimal(point.attained_fpi),
            interval_text(point.attained_fpi_interval),
        ]
        for point in points
    ]
    interval = "95% interval"
    headers = ["FP/image", "threshold", interval, "sensitivity", interval, "attained", interval]
    return text_table(rows, headers)


def _quality_table(calibration: Calibration) -> str:
    rows = []
    for name, part in (("detections", calibration.detections), ("images", calibration.images)):
        rows.append([name, "scores as they are", *_quality(part.reliability_of_scores)])
        rows.append(["", f"{part.calibrator.name}, out of fold", *_quality(part.reliability)])
    headers = ["", "probabilities", "calibration error", "95% interval", "Brier score"]
    return text_table(rows, headers)


def _quality(reliability: Reliability | None) -> list[str]:
    if reliability is None:
        return ["undefined", "", "undefined"]
    interval = interval_text(reliability.ece_interval)
    return [decimal(reliability.ece), interval, decimal(reliability.brier)]
