"""Predictions that `medmask predict` wrote, as findings of each image that was scored."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from medmask.errors import InputError
from medmask.evaluation.boxes import to_xyxy
from medmask.images import count_frames, frame_path
from medmask.inference.image_inputs import find_images
from medmask.inference.merging import read_records
from medmask.inference.options import JOURNAL
from medmask.inference.part_files import missing_shards, part_files
from medmask.inference.prediction_images import PredictionImage, images_of_files
from medmask.inference.prediction_parts import PartsReader
from medmask.utils.counts import counted
from medmask.utils.file_hash import HASH_LENGTH, hash_weights_file
from medmask.utils.json_files import read_json


@dataclass(frozen=True)
class Finding:
    """One detection.

    Attributes:
        box: corners (x0, y0, x1, y1) in pixels of the stored image; the upper left corner of the
            upper left pixel is (0, 0).
        score: in [0, 1].
        category: name of its class.
        probability: to lie on a lesion, in [0, 1]; None if scores were not calibrated.
    """

    box: tuple[float, float, float, float]
    score: float
    category: str
    probability: float | None = None

    @property
    def certainty(self) -> float:
        """The probability, or the score if it is not calibrated."""
        return self.score if self.probability is None else self.probability


@dataclass(frozen=True)
class ScoredImage:
    """An image that a detector has looked at.

    Attributes:
        path: the file, or a frame of several such as ``scan.dcm#3``.
        findings: all detections, by descending score; there may be none.
        file_name: what the predictions call it; relative to the image folder of a data set.
        image_id: of its data set; None for a file that belongs to none.
        probability: that it has a lesion, in [0, 1]; None if scores were not calibrated.
    """

    path: Path
    findings: tuple[Finding, ...]
    file_name: str = ""
    image_id: int | str | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Predictions:
    """Detections on a number of images.

    Attributes:
        weights: the first 16 hexadecimal digits of the SHA-256 of the weights.
        made: when they were made, in local time.
        images: that were scored.
        problems: one sentence for each image that could not be.
        categories: names of the classes; without those of no detection, if all that is known of
            them is a list of detections.
        calibration: a sentence on what the probabilities of findings are calibrated on; None where
            scores were not calibrated.
        operating_threshold: the score from which detections are shown at the operating point that
            they were made with, in [0, 1]; None without one.
    """

    weights: str
    made: datetime
    images: tuple[ScoredImage, ...]
    problems: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    calibration: str | None = None
    operating_threshold: float | None = None


def read_predictions(folder: Path) -> Predictions:
    """Read the output folder of `medmask predict`, of all shards that wrote to it.

    Raises:
        InputError: the folder holds no record of predictions, a damaged one, or no image that is
            done.
    """
    files = part_files(folder)
    if not files:
        raise InputError(
            f"{folder} holds no {JOURNAL} of `medmask predict`: name its output folder, or a JSON "
            "file of detections with the images and --checkpoint"
        )
    parts = PartsReader(folder)
    settings = next(iter(parts.settings.values()), None)
    if settings is None:
        raise InputError(f"{folder} holds no image that is done: run `medmask predict` again")
    parts.check_settings(settings)
    names = settings["category_names"]
    images, problems = [], missing_shards(folder, len(parts.places))
    for record in read_records(parts):
        if record.error is not None:
            problems.append(record.error)
            continue
        detections = [x | {"category_name": names[x["class"]]} for x in record.detections]
        path = _image_path(record.path, record.frame)
        findings = _to_findings(detections, folder)
        images.append(
            ScoredImage(path, findings, record.file_name, record.image_id, record.probability)
        )
    made = max(map(_modified, files))
    calibration, threshold = None, None
    if settings.get("calibration") is not None:
        threshold = float(settings["score_threshold"])
        calibration = _describe(settings["calibration"], threshold)
    return Predictions(
        str(settings["weights"]),
        made,
        tuple(images),
        tuple(problems),
        tuple(names),
        calibration,
        threshold,
    )


def read_detections_of_images(
    path: Path, inputs: Sequence[str | os.PathLike], checkpoint: Path
) -> Predictions:
    """Read a list of detections in COCO's result format.

    Args:
        path: the JSON file. A record's ``file_name`` says which image it belongs to.
        inputs: the images that were scored, also those without a detection: files, folders or
            patterns, as `medmask predict` got them.
        checkpoint: the weights that the detections were made with.

    Raises:
        InputError: a file is missing or faulty, or a record belongs to none of the images.
    """
    records = read_json(path, "detection file")
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise InputError(f"{path} is not a list of detections in COCO's result format")
    found = find_images(inputs)
    images = images_of_files(found.paths)
    by_file: dict[Path, list[dict[str, Any]]] = defaultdict(list)
    for number, record in enumerate(records):
        name = record.get("file_name")
        if not isinstance(name, str) or "\0" in name:
            raise InputError(f"{path}: record {number} has no file_name; it must name an image")
        by_file[Path(os.path.realpath(name))].append(record)
    files = [Path(os.path.realpath(image.name)) for image in images]
    strangers = by_file.keys() - set(files)
    if strangers:
        raise InputError(
            f"{path} names {counted(len(strangers), 'image that is', 'images that are')} not among "
            f"the inputs (first {min(strangers)}): give all images that were scored"
        )
    scored = tuple(
        ScoredImage(_name(image), _to_findings(by_file.get(file, ()), path), image.file_name)
        for image, file in zip(images, files, strict=True)
    )
    weights = hash_weights_file(checkpoint)[:HASH_LENGTH]
    categories = sorted({finding.category for image in scored for finding in image.findings})
    return Predictions(
        weights,
        _modified(path),
        scored,
        tuple(found.problems),
        tuple(categories),
        calibration=_calibration_of_list(scored, path),
    )


def _to_findings(records: Iterable[dict[str, Any]], path: Path) -> tuple[Finding, ...]:
    findings = []
    for record in records:
        probability = record.get("probability")
        try:
            box = np.asarray(record.get("bbox"), dtype=np.float64)
            score = float(record["score"])
            probability = None if probability is None else float(probability)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputError(f"{path}: a detection has no bbox of numbers, or no score") from None
        if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any():
            raise InputError(f"{path}: a bbox is not [x, y, width, height] of finite numbers")
        if not 0 <= score <= 1 or not 0 <= (probability or 0) <= 1:
            raise InputError(
                f"{path}: a score or a probability is not in [0, 1]; divide percentages by 100"
            )
        category = str(record.get("category_name") or f"class {record.get('category_id')}")
        x0, y0, x1, y1 = to_xyxy(box[None])[0].tolist()
        findings.append(Finding((x0, y0, x1, y1), score, category, probability))
    return tuple(sorted(findings, key=lambda finding: -finding.score))


def _describe(calibration: Mapping[str, Any], threshold: float) -> str:
    """A sentence on the calibration that a record of predictions names."""
    data_name, fpi = calibration.get("data_name", "an unnamed set"), calibration["operating_point"]
    return (
        f"Probabilities are calibrated on {data_name}, where a score threshold of {threshold:.3g} "
        f"has {counted(fpi, 'false positive')} per image."
    )


def _calibration_of_list(images: Iterable[ScoredImage], path: Path) -> str | None:
    """A sentence on the probabilities of a list of detections; None if it has none.

    Raises:
        InputError: some detections have one, and others have none.
    """
    probabilities = [finding.probability for image in images for finding in image.findings]
    if all(probability is None for probability in probabilities):
        return None
    if None in probabilities:
        raise InputError(
            f"{path}: some detections have a probability and others have none; give those of one "
            "run of `medmask predict`"
        )
    return (
        "Probabilities are those of a list of detections, which does not tell what they are "
        "calibrated on."
    )


def _image_path(path: str, frame: int | None) -> Path:
    """The file, which its only frame stands for, too; or a frame of several."""
    is_whole = frame is None or (frame == 0 and _has_one_frame(path))
    return Path(path) if is_whole else frame_path(path, frame or 0)


def _has_one_frame(path: str) -> bool:
    try:
        return count_frames(path) == 1
    except InputError:  # said again, and counted, when the image is read
        return False


def _name(image: PredictionImage) -> Path:
    return _image_path(os.path.abspath(image.path), image.frame)


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(int(path.stat().st_mtime))
