"""A copy of the model in a process of a cluster; it imports nothing of Ray."""

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2

from medmask.inference.class_labels import ClassLabels
from medmask.inference.detector import StoredDetector
from medmask.inference.prediction_images import PredictionImage
from medmask.inference.prediction_worker import Prediction, PredictionWork, PredictionWorker
from medmask.inference.stage_seconds import StageSeconds


class ReplicaDescription(NamedTuple):
    """Description that a copy of the model gives of itself."""

    settings: dict[str, Any]
    """all that detections depend on"""
    labels: ClassLabels
    weights_sha256: str
    machine: str
    """name of the host"""


class Replica:
    """Reads images where the model is, so that between processes there are paths and records."""

    def load(self, make_detector: Callable[[], StoredDetector]) -> ReplicaDescription:
        """Load the model; the first thing to do.

        Raises:
            InputError: the files of the model are missing on this machine, or faulty.
        """
        cv2.setNumThreads(1)  # the replicas share the cores already
        self._detector = make_detector()
        self._worker: PredictionWorker | None = None
        return ReplicaDescription(
            self._detector.settings(),
            self._detector.labels,
            self._detector.weights_sha256,
            socket.gethostname(),
        )

    def begin(self, work: PredictionWork) -> None:
        """Learn what to make of the images from here on."""
        if self._worker is not None:
            self._worker.close()
        self._worker = PredictionWorker(self._detector, work)

    def predict(
        self, images: Sequence[tuple[int, PredictionImage]]
    ) -> Iterator[Prediction | StageSeconds]:
        """Predict on images; at the end comes the time that it took."""
        assert self._worker is not None  # as it has begun
        seconds = StageSeconds()
        yield from self._worker.predict(images, seconds)
        yield seconds
