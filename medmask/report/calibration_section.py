"""Section on scores as probabilities, and on the thresholds at rates of false positives."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medmask.calibration import (
    UNCALIBRATED,
    CalibrationReport,
    hash_weights_file,
    read_calibration_report,
)
from medmask.calibration.reliability import Reliability
from medmask.calibration.stored_report import StoredQuality
from medmask.errors import InputError
from medmask.report.charts import Series, draw_chart, unit_axis
from medmask.report.html import Markup, element, join
from medmask.report.run_files import RunFiles
from medmask.report.section import Section, decimal, interval_text, missing, note, table
from medmask.utils.counts import counted
from medmask.utils.file_hash import HASH_LENGTH

_AS_THEY_ARE = "scores as they are"


def calibration_section(runs: Sequence[RunFiles]) -> Section:
    """Reliability diagrams, calibration errors and thresholds of each run."""
    parts: list[Markup] = []
    for run in runs:
        if len(runs) > 1:
            parts.append(element("h3", run.label))
        parts += _without(run) if run.calibration is None else _of_run(run, run.calibration)
    return Section("Calibration", "calibration", join(parts))


def _without(run: RunFiles) -> list[Markup]:
    dataset = run.dataset("dataloader.test") or "NAME"
    advice = "put that of its weights there"
    if run.weights is not None:
        advice = f"make it with medmask calibrate --checkpoint {run.weights} --dataset {dataset}"
    whose = f" of its {run.model}" if run.model else ""
    return [missing(f"{UNCALIBRATED} {run.home} has no calibration.json{whose}: {advice}")]


def _of_run(run: RunFiles, path: Path) -> list[Markup]:
    try:
        calibration = read_calibration_report(path)
    except InputError as error:
        return [missing(str(error))]
    counts, source = calibration.counts, calibration.source
    if run.model and not source.weights_file.startswith(f"{run.model}_"):
        return _without(run)
    return [
        note(
            f"Of {source.weights_file} (SHA-256 {source.weights_sha256[:HASH_LENGTH]}), on "
            f"{source.data_name}: {counted(counts.images, 'image')} of "
            f"{counted(counts.patients, 'patient')} with {counted(counts.lesions, 'lesion')}; "
            f"{counted(counts.detections_calibrated, 'detection')} of at least "
            f"{calibration.lowest_score:.3g}, {counts.hits_calibrated} of them on lesions."
        ),
        *_note_of_other_weights(run, calibration),
        element(
            "div",
            _diagram("Reliability of detections", "share on a lesion", calibration.detections),
            _diagram("Reliability of images", "share with a lesion", calibration.images),
            class_="charts",
        ),
        _table_of_errors(calibration),
        _table_of_thresholds(calibration),
        note(
            "ECE is the expected calibration error, the mean distance from the thin line; as noise "
            "only adds to it, its interval lies a little high. Intervals are over patients. "
            "Calibrated probabilities are judged on patients that they were not fitted to; they "
            "hold where lesions are as common as on that set: "
            f"in {counts.images_with_lesions / max(counts.images, 1):.1%} of the images."
        ),
        *map(note, calibration.warnings),
    ]


def _note_of_other_weights(run: RunFiles, calibration: CalibrationReport) -> list[Markup]:
    """Say where the weights of that name are no longer those that were calibrated."""
    weights = run.home / calibration.source.weights_file
    if not weights.is_file() or hash_weights_file(weights) == calibration.source.weights_sha256:
        return []
    return [
        missing(
            f"{run.calibration} is the calibration of other weights than {weights} holds now: "
            f"calibrate anew with medmask calibrate --checkpoint {weights}"
        )
    ]


def _diagram(title: str, share: str, quality: StoredQuality) -> Markup:
    series = [_series(_AS_THEY_ARE, quality.as_they_are)]
    if quality.calibrated is not None:
        series.insert(0, _series(f"{quality.method} calibration, out of fold", quality.calibrated))
    return draw_chart(
        title,
        unit_axis("probability, or score"),
        unit_axis(share),
        series,
        note="On the thin line, probabilities are right; each dot is a bin of about equally many, "
        "the band its 95% interval over patients.",
        has_diagonal=True,
    )


def _series(label: str, reliability: Reliability) -> Series:
    x, y = reliability.probabilities, reliability.observed
    intervals = reliability.observed_intervals
    return Series(
        label,
        x,
        y,
        band=None if intervals is None else (x, *intervals.T),
        points=np.stack([x, y], axis=1),
    )


def _table_of_errors(calibration: CalibrationReport) -> Markup:
    rows = []
    for name, quality in (("detections", calibration.detections), ("images", calibration.images)):
        calibrated = f"{name}: {quality.method}, out of fold"
        rows.append((f"{name}: {_AS_THEY_ARE}", *_errors(quality.as_they_are)))
        rows.append((calibrated, *_errors(quality.calibrated)))
    return table(["probabilities", "ECE", "95% interval", "Brier score"], rows)


def _errors(reliability: Reliability | None) -> tuple[str, str, str]:
    if reliability is None:
        return decimal(None), "", decimal(None)
    interval = interval_text(reliability.ece_interval)
    return decimal(reliability.ece), interval, decimal(reliability.brier)


def _table_of_thresholds(calibration: CalibrationReport) -> Markup:
    rows = [
        (
            f"{point.fpi:g}",
            decimal(point.threshold),
            interval_text(point.threshold_interval),
            decimal(point.sensitivity),
            interval_text(point.sensitivity_interval),
            decimal(point.attained_fpi),
            interval_text(point.attained_fpi_interval),
        )
        for point in calibration.operating_points
    ]
    interval = "95% interval"
    header = ["FPI", "threshold", interval, "sensitivity", interval, "attained FPI", interval]
    return table(header, rows)
