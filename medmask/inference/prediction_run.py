"""Detection on many images: records, overlays and files of results, whatever single images do."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medmask.calibration import AppliedCalibration
from medmask.errors import InputError
from medmask.inference.class_labels import ClassLabels
from medmask.inference.detector import Detector
from medmask.inference.merging import read_records, write_results
from medmask.inference.options import (
    DETECTIONS,
    FORMATS,
    OVERLAYS,
    PredictionOptions,
    result_files,
)
from medmask.inference.overlay_names import OverlayNames
from medmask.inference.part_files import part_files
from medmask.inference.part_writer import PartWriter, open_part
from medmask.inference.planning import make_plan
from medmask.inference.prediction_engine import LocalEngine, PredictionEngine
from medmask.inference.prediction_images import PredictionImage
from medmask.inference.prediction_parts import PartsReader
from medmask.inference.prediction_progress import PredictionProgress
from medmask.inference.prediction_record import FAILED, PredictionRecord
from medmask.inference.prediction_worker import Prediction, PredictionWork
from medmask.inference.result_files import import_pyarrow
from medmask.inference.stage_seconds import StageSeconds
from medmask.utils.files import atomic_write, remove_abandoned_files


@dataclass(frozen=True)
class PredictionSummary:
    """Outcome of a run.

    Attributes:
        images: how many there are; those of the shard.
        done_before: how many of them an earlier run had finished.
        problems: one sentence for each image that could not be predicted on.
        failed: paths of those whose file is not to blame, so that another run may succeed.
        statuses: how many images of this run came to each status.
        seconds: where the time went.
    """

    images: int
    done_before: int
    problems: tuple[str, ...]
    failed: tuple[str, ...]
    statuses: Counter
    seconds: StageSeconds


def predict_images(
    detector: Detector | PredictionEngine,
    images: Iterable[PredictionImage],
    output_dir: Path,
    *,
    options: PredictionOptions | None = None,
    labels: ClassLabels | None = None,
    calibration: AppliedCalibration | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] | None = None,
) -> PredictionSummary:
    """Detect in all images, and keep what is done whatever happens to the rest.

    Writes ``overlays/*.png``, a line of ``predictions.jsonl`` for every image as soon as it is
    finished, and ``detections.json`` (COCO's result format) at the end. In a folder where such a
    run was stopped, it goes on: images that are finished are not predicted on again. A shard writes
    a part of its own, and no files of results: see :func:`merge_predictions`.

    Args:
        detector: the detector, or an engine that has detectors elsewhere.
        images: a list of images that can be gone through several times, and gives the same each
            time. One that is in it twice counts once.
        output_dir: where to write.
        options: what is made of each image; the defaults if None.
        labels: names and category ids to write; None for those of the detector.
        calibration: of the detector; its threshold takes the place of that of the options, and
            probabilities are written and drawn. None for scores alone.
        overwrite: start afresh in a folder that holds other predictions.
        report: takes lines on the progress; see :class:`PredictionProgress`.

    Returns:
        How it went. An image that fails, for whatever reason, does not affect the others.

    Raises:
        InputError: the folder holds predictions of other weights, settings or images, or a format
            of results needs a package that is missing.
        OSError: the folder cannot be written to; what is done is kept.
    """
    engine = detector if isinstance(detector, PredictionEngine) else LocalEngine(detector)
    options, labels = options or PredictionOptions(), labels or engine.labels
    if calibration is not None:
        options = replace(options, score_threshold=calibration.threshold)
    output_dir = Path(output_dir)
    _check_labels(labels, engine.labels)
    _check_folder(output_dir, options, overwrite)
    if "parquet" in options.formats:
        import_pyarrow("writing Parquet")  # not found missing after the work
    settings = engine.settings() | _settings_of_results(options, labels, calibration)
    with open_part(output_dir, options.shard) as part:
        remove_abandoned_files(output_dir)
        if overwrite:
            for _ in images:  # a fault of the list is told before anything is removed
                pass
            _remove_results(output_dir, part.path)
        parts = PartsReader(output_dir)
        parts.check_settings(settings)
        if part.path not in parts.settings:  # nothing was finished, so nothing is lost
            parts.forget(part.path)
        pictures = output_dir / OVERLAYS if options.overlays else None
        plan = make_plan(images, parts, options.shard, pictures)
        names = OverlayNames(images, parts) if options.overlays else None
        part.start(settings, go_on=part.path in parts.settings)
        writer = _Writer(output_dir, part, parts, names)
        work = PredictionWork(options, labels, calibration)
        left = plan.images_left(images)
        seconds = StageSeconds()
        with (
            PredictionProgress(plan.images, plan.done_before, report=report) as progress,
            contextlib.closing(engine.predict(left, len(plan.left), work, seconds)) as predictions,
        ):
            outcome = _write_all(predictions, writer, progress, seconds)
        part.finish(
            images=plan.images,
            listed=plan.listed,
            list_digest=plan.list_digest,
            left_out=plan.left_out,
        )
    if options.shard.count == 1:
        write_results(output_dir, read_records(parts, images), labels, options.formats)
    return PredictionSummary(
        images=plan.images,
        done_before=plan.done_before,
        problems=tuple(outcome.problems),
        failed=tuple(outcome.failed),
        statuses=outcome.statuses,
        seconds=seconds,
    )


def _settings_of_results(
    options: PredictionOptions, labels: ClassLabels, calibration: AppliedCalibration | None
) -> dict[str, Any]:
    """List what decides on records and pictures besides the detector."""
    return {
        "score_threshold": options.score_threshold,
        "overlays": options.overlays,
        "calibration": calibration and calibration.settings(),
        "category_ids": list(labels.category_ids),
        "category_names": list(labels.names),
    }


@dataclass
class _Outcome:
    """The outcome of the run so far; see :class:`PredictionSummary`."""

    statuses: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def count(self, record: PredictionRecord) -> None:
        self.statuses[record.status] += 1
        if record.error is not None:
            self.problems.append(record.error)
        if record.status == FAILED:
            self.failed.append(record.path)


class _Writer:
    """Writes what is finished to a folder of predictions; an error in that stops all."""

    def __init__(
        self, output_dir: Path, part: PartWriter, parts: PartsReader, names: OverlayNames | None
    ) -> None:
        self._output_dir, self._part, self._parts, self._names = output_dir, part, parts, names

    def write(self, prediction: Prediction) -> PredictionRecord:
        """Write the picture of an image and then its record, which has the picture's name."""
        record = prediction.record
        if prediction.picture is not None and self._names is not None:
            name = self._names.of(record.key)
            record = replace(record, overlay=name)
            with atomic_write(self._output_dir / OVERLAYS / name) as file:
                file.write(prediction.picture)
        self._parts.note(record, self._part.path, self._part.append(record))
        return record


def _write_all(
    predictions: Iterable[Prediction],
    writer: _Writer,
    progress: PredictionProgress,
    seconds: StageSeconds,
) -> _Outcome:
    outcome = _Outcome()
    for prediction in predictions:
        with seconds.measure("writing"):
            record = writer.write(prediction)
        outcome.count(record)
        progress.count(record.status)
    return outcome


def _check_labels(wanted: ClassLabels, known: ClassLabels) -> None:
    if wanted.names != known.names:
        raise InputError(
            f"the data set has the classes {', '.join(wanted.names)}, but the model knows "
            f"{', '.join(known.names)}: take weights that were trained on these classes"
        )


def _check_folder(output_dir: Path, options: PredictionOptions, overwrite: bool) -> None:
    if overwrite and options.shard.count > 1:
        raise InputError(
            f"a shard does not overwrite {output_dir}, which other shards write to: choose another "
            "output folder, or remove it"
        )
    written = [name for name in (DETECTIONS, OVERLAYS) if (output_dir / name).exists()]
    if written and not overwrite and not part_files(output_dir):
        raise InputError(
            f"{output_dir} holds {written[0]} of another run: choose another output folder, or "
            "replace what is there with --overwrite"
        )


def _remove_results(output_dir: Path, part: Path) -> None:
    """Remove what an earlier run wrote, but for the part that this process has open."""
    for name in result_files(FORMATS):
        (output_dir / name).unlink(missing_ok=True)
    for other in part_files(output_dir):
        if other != part:
            other.unlink()
    for mark in output_dir.glob("predictions*.finished"):
        mark.unlink()
    part.write_bytes(b"")
    for picture in (output_dir / OVERLAYS).glob("*.png"):
        picture.unlink()
