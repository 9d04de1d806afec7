"""Detection in the mirror images of images: what a detector says that should make no difference."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import detectron2.data.transforms as T
from detectron2.structures import Instances

from medmask.inference.detector import Detector


class MirroringDetector:
    """A detector that is shown each image with left and right exchanged.

    Its boxes are in pixels of the image as it is, so that they can be compared with those of the
    detector itself.

    Attributes:
        labels: of the detector.
        reader: makes its inputs.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.labels = detector.labels
        mirrored = T.AugmentationList([T.RandomFlip(prob=1.0), detector.reader.augmentation])
        self.reader = replace(detector.reader, augmentation=mirrored)

    def settings(self) -> dict[str, Any]:
        """Describe, in JSON values, all that detections depend on."""
        return self._detector.settings() | {"mirrored": True}

    def detect(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        """Detect in images of one size that the reader has read; see :class:`Detector`."""
        return self._detector.detect(inputs)
