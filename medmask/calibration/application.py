"""Use of a stored calibration: the threshold of an operating point, and probabilities."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medmask.calibration.calibrators import Calibrator, read_calibrator
from medmask.calibration.report import FORMAT
from medmask.coco import numbers
from medmask.errors import InputError
from medmask.utils.counts import counted
from medmask.utils.file_hash import HASH_LENGTH
from medmask.utils.json_files import parse_json, read_json_bytes

KIND = "calibration file"
"""Name of such a file in messages."""


@dataclass(frozen=True)
class AppliedCalibration:
    """A calibration at one operating point.

    Attributes:
        fpi: false positives per image that the operating point allows.
        threshold: detections of at least this score are shown, in [0, 1].
        data_name: the labeled set that it was made on.
        file_hash: 16 hexadecimal digits that tell one calibration from another.
    """

    fpi: float
    threshold: float
    data_name: str
    file_hash: str
    _detections: Calibrator
    _images: Calibrator

    def detection_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """(D,) scores of detections -> (D,) probabilities that each lies on a lesion."""
        return self._detections(scores)

    def image_probability(self, scores: np.ndarray) -> float:
        """The probability that an image with detections of these (D,) scores has a lesion."""
        highest = np.max(np.asarray(scores, np.float64), initial=0.0)
        return float(self._images(np.array([highest]))[0])

    def settings(self) -> dict[str, Any]:
        """Identity as JSON values, which a record of predictions keeps."""
        return {
            "file": self.file_hash,
            "data_name": self.data_name,
            "operating_point": self.fpi,
        }

    def describe(self) -> str:
        """A sentence for pages and pictures."""
        return (
            f"Probabilities are calibrated on {self.data_name}; detections are shown from a score "
            f"of {self.threshold:.3g} on, where that set has "
            f"{counted(self.fpi, 'false positive')} per image."
        )


@dataclass(frozen=True)
class StoredCalibration:
    """Part of a calibration file that predictions need.

    Attributes:
        path: the file.
        weights_sha256: of the checkpoint that it was made for.
        config: identity of the config, None where it is unknown.
        nms_iou: suppression before it, None for none.
        data_name: the labeled set that it was made on.
        thresholds: by false positives per image; None where nothing may be shown.
        detections: from a detection's score to a probability.
        images: from an image's highest score to a probability.
        file_hash: 16 hexadecimal digits of the file's content.
    """

    path: Path
    weights_sha256: str
    config: str | None
    nms_iou: float | None
    data_name: str
    thresholds: Mapping[float, float | None]
    detections: Calibrator
    images: Calibrator
    file_hash: str

    def check_fits(self, weights_sha256: str, *, config: str, nms_iou: float | None) -> None:
        """Refuse predictions that this calibration was not made for.

        Args:
            weights_sha256: of the checkpoint in use.
            config: identity of the config in use.
            nms_iou: suppression in use.

        Raises:
            InputError: the weights, the config or the suppression is another.
        """
        remedy = "calibrate anew with `medmask calibrate`"
        if weights_sha256 != self.weights_sha256:
            raise InputError(
                f"{self.path} is the calibration of other weights (SHA-256 "
                f"{self.weights_sha256[:HASH_LENGTH]}, not {weights_sha256[:HASH_LENGTH]}): "
                f"{remedy}"
            )
        if self.config is not None and config != self.config:
            raise InputError(
                f"{self.path} was made with another config of these weights, which differs in "
                f"model, dataloader.test.mapper or train.amp: predict or export with that one, or "
                f"{remedy}"
            )
        if nms_iou != self.nms_iou:
            raise InputError(
                f"{self.path} was made with --nms-iou {_or_none(self.nms_iou)}, not "
                f"{_or_none(nms_iou)}: predict with the same, or {remedy}"
            )

    def at(self, fpi: float) -> AppliedCalibration:
        """Take an operating point.

        Args:
            fpi: false positives per image, one of those that the file has a threshold for.

        Raises:
            InputError: it has none.
        """
        if fpi not in self.thresholds:
            known = ", ".join(f"{rate:g}" for rate in self.thresholds)
            raise InputError(
                f"{self.path} has no threshold at {counted(fpi, 'false positive')} per image, but "
                f"at {known}: choose one of them, or calibrate anew with --fpi {fpi:g}"
            )
        threshold = self.thresholds[fpi]
        if threshold is None:
            raise InputError(
                f"{self.path} has no threshold at {counted(fpi, 'false positive')} per image, as "
                "the highest scores alone exceed it there: choose a higher one"
            )
        return AppliedCalibration(
            fpi=fpi,
            threshold=threshold,
            data_name=self.data_name,
            file_hash=self.file_hash,
            _detections=self.detections,
            _images=self.images,
        )


def read_calibration(path: str | os.PathLike) -> StoredCalibration:
    """Read what ``medmask calibrate`` wrote.

    Raises:
        InputError: the file is missing or is no such file.
    """
    if not os.path.exists(path):
        raise InputError(
            f"{KIND} {path} does not exist: make it with `medmask calibrate`, or leave "
            "the operating point out"
        )
    return parse_calibration(read_json_bytes(path, KIND), path)


def parse_calibration(data: bytes, path: str | os.PathLike) -> StoredCalibration:
    """Parse the bytes of a calibration file; see :func:`read_calibration`."""
    content = parse_json(data, path, KIND)
    if not isinstance(content, dict) or {key: content.get(key) for key in FORMAT} != FORMAT:
        raise damaged(path, "format")
    source, settings = (_object(path, content, key) for key in ("source", "settings"))
    calibrators = {}
    for key in ("detections", "images"):
        calibrator = read_calibrator(_object(path, content, key).get("calibrator"))
        if calibrator is None:
            raise damaged(path, f"{key}.calibrator")
        calibrators[key] = calibrator
    return StoredCalibration(
        path=Path(path),
        weights_sha256=_text(path, source, "weights_sha256"),
        config=None if source.get("config") is None else _text(path, source, "config"),
        nms_iou=_fraction_or_none(path, settings, "nms_iou"),
        data_name=_text(path, source, "data_name"),
        thresholds=_read_thresholds(path, content.get("operating_points")),
        detections=calibrators["detections"],
        images=calibrators["images"],
        file_hash=hashlib.sha256(data).hexdigest()[:HASH_LENGTH],
    )


def _read_thresholds(path: str | os.PathLike, points: object) -> dict[float, float | None]:
    if not isinstance(points, list) or not points:
        raise damaged(path, "operating_points")
    thresholds = {}
    for point in points:
        (fpi,) = numbers([point.get("fpi") if isinstance(point, dict) else None]).tolist()
        if not fpi > 0:
            raise damaged(path, "operating_points")
        thresholds[fpi] = _fraction_or_none(path, point, "threshold")
    return thresholds


def _object(path: str | os.PathLike, content: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    if not isinstance(value, dict):
        raise damaged(path, key)
    return value


def _text(path: str | os.PathLike, content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise damaged(path, key)
    return value


def _fraction_or_none(
    path: str | os.PathLike, content: Mapping[str, Any], key: str
) -> float | None:
    value = content.get(key, "")
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise damaged(path, key)
    return float(value)


def damaged(path: str | os.PathLike, key: str) -> InputError:
    """The error of a file whose value at a key is not one that ``medmask calibrate`` writes."""
    return InputError(
        f"{KIND} {path} is damaged, or is none, at '{key}': make it with `medmask calibrate`"
    )


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
