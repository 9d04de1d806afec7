"""The work on images that does not need the folder of results: reading, detecting, drawing.

Any process can do it: the one that writes the results, or a replica on another machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from detectron2.structures import Instances

from medmask.calibration import AppliedCalibration
from medmask.evaluation.boxes import to_xywh
from medmask.inference.batches import batch_by_size
from medmask.inference.class_labels import ClassLabels
from medmask.inference.detector import Detector
from medmask.inference.drawing import draw_overlay
from medmask.inference.image_reader import Fault, ReadImage, describe_fault
from medmask.inference.options import PredictionOptions
from medmask.inference.prediction_images import PredictionImage
from medmask.inference.prediction_record import DONE, FAILED, PredictionRecord
from medmask.inference.reading_ahead import AheadReader, Reading
from medmask.inference.stage_seconds import StageSeconds
from medmask.utils.png_files import encode_png


@dataclass(frozen=True)
class PredictionWork:
    """Work to be done on each image.

    Attributes:
        options: of the run.
        labels: names and category ids to write.
        calibration: of the detector; None for scores alone.
    """

    options: PredictionOptions
    labels: ClassLabels
    calibration: AppliedCalibration | None = None


class Prediction(NamedTuple):
    """An image that has come to its end."""

    record: PredictionRecord
    """its ``overlay`` is not named yet"""
    picture: bytes | None
    """the PNG file to write before the record, if one is wanted and the image is done"""


class PredictionWorker:
    """Reads images ahead, detects in batches, and draws; reading processes live as long as it."""

    def __init__(self, detector: Detector, work: PredictionWork) -> None:
        """Create a worker.

        Args:
            detector: the detector.
            work: what to make of each image.
        """
        self._detector, self._work = detector, work
        self._reader = AheadReader(
            detector.reader, workers=work.options.workers, with_view=work.options.overlays
        )

    def predict(
        self, images: Iterable[tuple[int, PredictionImage]], seconds: StageSeconds
    ) -> Iterator[Prediction]:
        """Predict on images, a few at a time, whatever single ones do.

        Args:
            images: positions in the list of all images, and images; taken as they are needed.
            seconds: the time that it takes is added to these.

        Returns:
            The images as they are finished: of like size together, so not quite in their order.
        """
        readings = seconds.measure_waiting(self._reader.read(images))
        for batch in batch_by_size(readings, self._work.options.batch_size):
            results = [reading.result for reading in batch]
            seconds.reading += sum(x.seconds for x in results if isinstance(x, ReadImage))
            for reading, outcome in zip(batch, self._detect(batch, seconds), strict=True):
                picture = None
                if isinstance(outcome, Instances) and self._work.options.overlays:
                    drawn = self._draw(reading, outcome, seconds)
                    if isinstance(drawn, Fault):
                        outcome = drawn
                    else:
                        picture = drawn
                yield Prediction(to_record(reading, outcome, self._work.calibration), picture)

    def close(self) -> None:
        """End the processes that read."""
        self._reader.close()

    def _detect(
        self, batch: Sequence[Reading], seconds: StageSeconds
    ) -> Sequence[Instances | Fault]:
        """Detect in images of one size, together, or each alone if that fails."""
        results = [reading.result for reading in batch]
        faults = [result for result in results if isinstance(result, Fault)]
        if faults:
            return faults
        inputs = [result.model_input for result in results if isinstance(result, ReadImage)]
        try:
            with seconds.measure("model"):
                return self._detector.detect(inputs)
        except Exception as error:  # nothing that one image does may stop the rest
            if len(batch) == 1:
                # the file could be read, so whatever was raised is not the file's fault
                return [describe_fault(batch[0].image, error)._replace(status=FAILED)]
        return [outcome for reading in batch for outcome in self._detect([reading], seconds)]

    def _draw(
        self, reading: Reading, detections: Instances, seconds: StageSeconds
    ) -> bytes | Fault:
        image = reading.result
        assert isinstance(image, ReadImage)
        assert image.view is not None  # as the reader was told to make it
        calibration = self._work.calibration
        try:
            with seconds.measure("drawing"):
                shown = detections[detections.scores >= self._work.options.score_threshold]
                probabilities = None
                if calibration is not None:
                    scores = shown.scores.double().numpy()
                    probabilities = calibration.detection_probabilities(scores)
                overlay = draw_overlay(
                    image.view, shown, self._work.labels.names, probabilities=probabilities
                )
                return encode_png(overlay)
        except Exception as error:
            return describe_fault(reading.image, error)


def to_record(
    reading: Reading, outcome: Instances | Fault, calibration: AppliedCalibration | None
) -> PredictionRecord:
    """Make the record of an image.

    Args:
        reading: of the image.
        outcome: of detection in it.
        calibration: of the detector; None for scores alone.
    """
    image = reading.image
    record = PredictionRecord(
        key=image.key,
        status=DONE,
        position=reading.position,
        path=image.absolute_path,
        file_name=image.file_name,
        frame=image.frame,
        image_id=image.image_id,
        bytes=reading.state[0],
        modified=reading.state[1],
    )
    if isinstance(outcome, Fault):
        return replace(record, status=outcome.status, error=outcome.sentence)
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
    return replace(
        record,
        height=height,
        width=width,
        probability=probability,
        detections=tuple(detections),
    )
