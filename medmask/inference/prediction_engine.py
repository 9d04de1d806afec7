"""The interface between a run of predictions and the processes that work for it."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from typing import Any

from medmask.inference.class_labels import ClassLabels
from medmask.inference.detector import Detector
from medmask.inference.prediction_images import PredictionImage
from medmask.inference.prediction_worker import Prediction, PredictionWork, PredictionWorker
from medmask.inference.stage_seconds import StageSeconds


class PredictionEngine(ABC):
    """Predicts on images, somewhere; the results are written by whoever asks."""

    @property
    @abstractmethod
    def labels(self) -> ClassLabels:
        """Names and category ids of the detector's classes."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Describe, in JSON values, all that detections depend on."""

    @abstractmethod
    def predict(
        self,
        images: Iterator[tuple[int, PredictionImage]],
        count: int,
        work: PredictionWork,
        seconds: StageSeconds,
    ) -> Generator[Prediction, None, None]:
        """Predict on images, whatever single ones do.

        Args:
            images: positions in the list of all images, and images; taken as they are needed.
            count: how many there are.
            work: what to make of each image.
            seconds: the time that it takes is added to these.

        Returns:
            Each image once, as it is finished, so not quite in their order.
        """


class LocalEngine(PredictionEngine):
    """A detector in this process, and processes beside it that read ahead."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    @property
    def labels(self) -> ClassLabels:
        return self._detector.labels

    def settings(self) -> dict[str, Any]:
        return self._detector.settings()

    def predict(
        self,
        images: Iterator[tuple[int, PredictionImage]],
        count: int,
        work: PredictionWork,
        seconds: StageSeconds,
    ) -> Generator[Prediction, None, None]:
        worker = PredictionWorker(self._detector, work)
        try:
            yield from worker.predict(images, seconds)
        finally:
            worker.close()
