"""Detection on many images: records, overlays and files of results, whatever single images do."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detectron2.structures import Instances

from medmask.calibration import AppliedCalibration
from medmask.errors import InputError
from medmask.evaluation.boxes import to_xywh
from medmask.inference.batches import batch_by_size
from medmask.inference.class_labels import ClassLabels
from medmask.inference.detector import Detector
from medmask.inference.drawing import draw_overlay
from medmask.inference.image_reader import Fault, ReadImage, describe_fault
from medmask.inference.merging import read_records, write_results
from medmask.inference.options import DETECTIONS, OVERLAYS, PredictionOptions
from medmask.inference.overlay_names import OverlayNames
from medmask.inference.planning import Plan, make_plan
from medmask.inference.prediction_images import PredictionImage
from medmask.inference.prediction_parts import (
    DONE,
    PartsReader,
    PartWriter,
    PredictionRecord,
    open_part,
    part_files,
)
from medmask.inference.prediction_progress import PredictionProgress
from medmask.inference.reading_ahead import Reading, read_ahead
from medmask.inference.stage_seconds import StageSeconds
from medmask.utils.files import atomic_write, remove_abandoned_files
from medmask.utils.png_files import encode_png


@dataclass(frozen=True)
class PredictionSummary:
    """Outcome of a run.

    Attributes:
        images: how many there are; those of the shard.
        done_before: how many of them an earlier run had finished.
        problems: one sentence for each image that could not be predicted on.
        statuses: how many images of this run came to each status.
        seconds: where the time went.
    """

    images: int
    done_before: int
    problems: tuple[str, ...]
    statuses: Counter
    seconds: StageSeconds


def predict_images(
    detector: Detector,
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
        detector: the detector.
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
        InputError: the folder holds predictions of other weights, settings or images.
        OSError: the folder cannot be written to; what is done is kept.
    """
    options, labels = options or PredictionOptions(), labels or detector.labels
    if calibration is not None:
        options = replace(options, score_threshold=calibration.threshold)
    output_dir = Path(output_dir)
    _check_labels(labels, detector.labels)
    _check_folder(output_dir, options, overwrite)
    settings = detector.settings() | {
        "score_threshold": options.score_threshold,
        "overlays": options.overlays,
        "calibration": calibration and calibration.settings(),
        "category_ids": list(labels.category_ids),
        "category_names": list(labels.names),
    }
    with open_part(output_dir, options.shard) as part:
        remove_abandoned_files(output_dir)
        if overwrite:
            _remove_results(output_dir, part.path)
        parts = PartsReader(output_dir)
        parts.check_settings(settings)
        pictures = output_dir / OVERLAYS if options.overlays else None
        plan = make_plan(images, parts, options.shard, pictures)
        names = OverlayNames(images, parts) if options.overlays else None
        if part.path not in parts.settings:  # nothing was finished, so nothing is lost
            parts.forget(part.path)
        part.start(settings, go_on=part.path in parts.settings)
        run = _Run(detector, output_dir, options, labels, calibration, part, parts, names)
        summary = run.predict(images, plan, report)
        part.finish(plan.images)
    if options.shard.count == 1:
        write_results(output_dir, read_records(parts, images), labels, options.formats)
    return summary


class _Run:
    """The work of one process."""

    def __init__(
        self,
        detector: Detector,
        output_dir: Path,
        options: PredictionOptions,
        labels: ClassLabels,
        calibration: AppliedCalibration | None,
        part: PartWriter,
        parts: PartsReader,
        names: OverlayNames | None,
    ) -> None:
        self.detector, self.output_dir, self.options = detector, output_dir, options
        self.labels, self.part, self.parts, self.names = labels, part, parts, names
        self.calibration = calibration
        self.seconds = StageSeconds()

    def predict(
        self,
        images: Iterable[PredictionImage],
        plan: Plan,
        report: Callable[[str], None] | None,
    ) -> PredictionSummary:
        statuses: Counter = Counter()
        problems = []
        readings = read_ahead(
            plan.images_left(images),
            self.detector.reader,
            workers=self.options.workers,
            with_view=self.options.overlays,
        )
        batches = batch_by_size(self.seconds.measure_waiting(readings), self.options.batch_size)
        with PredictionProgress(plan.images, plan.done_before, report=report) as progress:
            for batch in batches:
                for record in self._predict(batch):
                    with self.seconds.measure("writing"):
                        offset = self.part.append(record)
                    self.parts.note(record, self.part.path, offset)
                    statuses[record.status] += 1
                    if record.error is not None:
                        problems.append(record.error)
                    progress.count(record.status)
        return PredictionSummary(
            plan.images, plan.done_before, tuple(problems), statuses, self.seconds
        )

    def _predict(self, batch: Sequence[Reading]) -> Iterator[PredictionRecord]:
        """Detect in a batch; the records of its images, those with a picture once that is there."""
        if isinstance(batch[0].result, ReadImage):
            self.seconds.reading += sum(reading.result.seconds for reading in batch)
        for reading, outcome in zip(batch, self._detect(batch), strict=True):
            overlay = None
            if isinstance(outcome, Instances) and self.names is not None:
                picture = self._draw(reading, outcome)
                if isinstance(picture, Fault):
                    outcome = picture
                else:  # an error here is one of the folder, and stops all
                    overlay = self.names.of(reading.image)
                    with (
                        self.seconds.measure("writing"),
                        atomic_write(self.output_dir / OVERLAYS / overlay) as file,
                    ):
                        file.write(picture)
            yield _to_record(reading, outcome, overlay, self.calibration)

    def _detect(self, batch: Sequence[Reading]) -> Sequence[Instances | Fault]:
        """Detect in images of one size, together, or each alone if that fails."""
        faults = [reading.result for reading in batch if isinstance(reading.result, Fault)]
        if faults:
            return faults
        try:
            with self.seconds.measure("model"):
                return self.detector.detect([reading.result.model_input for reading in batch])
        except Exception as error:  # nothing that one image does may stop the rest
            if len(batch) == 1:
                return [describe_fault(batch[0].image, error)]
        return [outcome for reading in batch for outcome in self._detect([reading])]

    def _draw(self, reading: Reading, detections: Instances) -> bytes | Fault:
        try:
            with self.seconds.measure("drawing"):
                shown = detections[detections.scores >= self.options.score_threshold]
                overlay = draw_overlay(
                    reading.result.view,
                    shown,
                    self.labels.names,
                    probabilities=self.calibration
                    and self.calibration.detection_probabilities(shown.scores.double().numpy()),
                )
                return encode_png(overlay)
        except Exception as error:
            return describe_fault(reading.image, error)


def _to_record(
    reading: Reading,
    outcome: Instances | Fault,
    overlay: str | None,
    calibration: AppliedCalibration | None,
) -> PredictionRecord:
    image = reading.image
    known = {
        "key": image.key,
        "position": reading.position,
        "path": image.real_path,
        "file_name": image.file_name,
        "frame": image.frame,
        "image_id": image.image_id,
        "bytes": reading.state[0],
        "modified": reading.state[1],
    }
    if isinstance(outcome, Fault):
        return PredictionRecord(**known, status=outcome.status, error=outcome.sentence)
    height, width = outcome.image_size
    detections: list[dict[str, Any]] = [
        {"class": index, "bbox": box, "score": score}
        for index, box, score in zip(
            outcome.pred_classes.tolist(),
            to_xywh(outcome.pred_boxes.tensor.double().numpy()).tolist(),
            outcome.scores.double().tolist(),
            strict=True,
        )
    ]
    probability = None
    if calibration is not None:
        scores = outcome.scores.double().numpy()
        probability = calibration.image_probability(scores)
        of_each = calibration.detection_probabilities(scores).tolist()
        for detection, value in zip(detections, of_each, strict=True):
            detection["probability"] = value
    return PredictionRecord(
        **known,
        status=DONE,
        height=height,
        width=width,
        overlay=overlay,
        probability=probability,
        detections=tuple(detections),
    )


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
    for name in ("json", "csv", "parquet"):
        (output_dir / f"detections.{name}").unlink(missing_ok=True)
        (output_dir / f"images.{name}").unlink(missing_ok=True)
    for other in part_files(output_dir):
        if other != part:
            other.unlink()
    for mark in output_dir.glob("predictions*.finished"):
        mark.unlink()
    part.write_bytes(b"")
    for picture in (output_dir / OVERLAYS).glob("*.png"):
        picture.unlink()
