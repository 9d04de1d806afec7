"""Report that a calibration file gives people: how good its probabilities and thresholds are.

:mod:`medmask.calibration.application` reads what predictions need of the same file.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from medmask.calibration.application import KIND, damaged, parse_calibration
from medmask.calibration.reliability import Reliability
from medmask.calibration.results import CalibrationCounts, CalibrationSource
from medmask.calibration.thresholds import NOTHING_SHOWN, OperatingPoint
from medmask.utils.json_files import parse_json, read_json_bytes

_T = TypeVar("_T")


@dataclass(frozen=True)
class StoredQuality:
    """Quality of the probabilities of detections, or of images.

    Attributes:
        method: of calibration.
        calibrated: reliability out of fold; None for a single patient.
        as_they_are: reliability of the scores, taken for probabilities.
    """

    method: str
    calibrated: Reliability | None
    as_they_are: Reliability


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration without its calibrators; see :class:`medmask.calibration.results.Calibration`.

    Attributes:
        source: of weights and data.
        counts: sizes of what was calibrated on.
        lowest_score: detections of at least this score were calibrated on.
        detections: quality of the probabilities of detections.
        images: quality of the probabilities of images.
        operating_points: thresholds, as the file has them.
        warnings: sentences on what could not be computed, or rests on little.
    """

    source: CalibrationSource
    counts: CalibrationCounts
    lowest_score: float
    detections: StoredQuality
    images: StoredQuality
    operating_points: tuple[OperatingPoint, ...]
    warnings: tuple[str, ...]


def read_calibration_report(path: str | os.PathLike) -> CalibrationReport:
    """Read what ``medmask calibrate`` wrote.

    Raises:
        InputError: the file is missing, or is no such file.
    """
    data = read_json_bytes(path, KIND)
    parse_calibration(data, path)  # refuses what predictions could not use either
    content = parse_json(data, path, KIND)

    def read(key: str, parse: Callable[[Any], _T]) -> _T:
        try:
            return parse(content[key])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise damaged(path, key) from None

    return CalibrationReport(
        source=read("source", _source),
        counts=read("counts", _counts),
        lowest_score=read("lowest_score", _number),
        detections=read("detections", _quality),
        images=read("images", _quality),
        operating_points=read("operating_points", lambda points: tuple(map(_point, points))),
        warnings=read("warnings", lambda sentences: tuple(map(_text, sentences))),
    )


def _source(content: dict[str, Any]) -> CalibrationSource:
    source = CalibrationSource(**content)
    _text(source.weights_file)
    return source


def _counts(content: dict[str, Any]) -> CalibrationCounts:
    return CalibrationCounts(**{name: _count(value) for name, value in content.items()})


def _quality(content: dict[str, Any]) -> StoredQuality:
    calibrated = content["out_of_fold"]
    return StoredQuality(
        method=_text(content["calibrator"]["method"]),
        calibrated=None if calibrated is None else _reliability(calibrated),
        as_they_are=_reliability(content["scores_as_they_are"]),
    )


def _reliability(content: dict[str, Any]) -> Reliability:
    bins = content["bins"]
    counts = np.array([_count(value) for value in bins["count"]])
    positives = np.array([_count(value) for value in bins["positives"]])
    probabilities, observed = (
        np.array([_number(value) for value in bins[name]]) for name in ("probability", "observed")
    )
    intervals = None
    if bins["observed_interval"] is not None:
        undefined = np.full(2, np.nan)
        found = [_interval(each) for each in bins["observed_interval"]]
        intervals = np.array([undefined if each is None else each for each in found])
    lengths = {len(each) for each in (counts, positives, probabilities, observed)}
    lengths |= set() if intervals is None else {len(intervals)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError
    return Reliability(
        counts=counts,
        positives=positives,
        probabilities=probabilities,
        observed=observed,
        observed_intervals=intervals,
        ece=_number(content["ece"]),
        ece_interval=_interval(content["ece_interval"]),
        brier=_number(content["brier"]),
    )


def _point(content: dict[str, Any]) -> OperatingPoint:
    threshold = content["threshold"]
    return OperatingPoint(
        fpi=_number(content["fpi"]),
        threshold=NOTHING_SHOWN if threshold is None else _number(threshold),
        threshold_interval=_interval(content["threshold_interval"]),
        sensitivity=_number(content["sensitivity"]),
        sensitivity_interval=_interval(content["sensitivity_interval"]),
        attained_fpi=_number(content["attained_fpi"]),
        attained_fpi_interval=_interval(content["attained_fpi_interval"]),
        is_reached=content["is_reached"] is True,
    )


def _interval(content: object) -> np.ndarray | None:
    if content is None:
        return None
    if not isinstance(content, list) or len(content) != 2:
        raise ValueError
    return np.array([_number(end) for end in content])


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError
    return float(value)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
