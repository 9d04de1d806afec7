"""The interface between a run of predictions and what detects."""

from collections.abc import Sequence
from typing import Any, Protocol

from detectron2.structures import Instances

from medmask.inference.class_labels import ClassLabels
from medmask.inference.image_reader import ImageReader


class Detector(Protocol):
    """Anything that detects in images which an :class:`ImageReader` has read.

    Attributes:
        labels: names and category ids of its classes.
        reader: makes its inputs; it is sent to the processes that read ahead.
    """

    labels: ClassLabels
    reader: ImageReader

    def settings(self) -> dict[str, Any]:
        """Describe, in JSON values, all that detections depend on."""

    def detect(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        """Detect in images of one size.

        Args:
            inputs: ``model_input`` of each image, see :class:`ReadImage`.

        Returns:
            For each image ``pred_boxes`` in pixels of the original, ``scores`` and
            ``pred_classes``, by descending score, on the CPU.
        """


class StoredDetector(Detector, Protocol):
    """A detector whose weights come from a file.

    Attributes:
        weights_sha256: of the file, 64 hexadecimal digits.
    """

    weights_sha256: str
