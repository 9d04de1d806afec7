"""Prediction by an exported file."""

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch.nn import functional as F

from medmask.errors import InputError
from medmask.export.metadata import ExportMetadata
from medmask.export.session import GraphSession
from medmask.inference.class_labels import ClassLabels
from medmask.inference.image_predictor import NMS_IOU, ImagePredictor
from medmask.inference.image_reader import ImageReader
from medmask.modeling.postprocessing import suppress_overlaps, to_original_image
from medmask.utils.file_hash import HASH_LENGTH


class OnnxPredictor(ImagePredictor):
    """A detector in a file of ``medmask export`` that takes images as they come.

    It is called as :class:`medmask.inference.MedMaskPredictor` and gives the same, but for the last
    bits. It runs on the CPU::

        predictor = OnnxPredictor("model.onnx")
        detections = predictor("mammogram.dcm")["instances"]

    Attributes:
        export: what the file says of itself.
    """

    def __init__(
        self,
        file: str | os.PathLike,
        *,
        nms_iou: float | None = NMS_IOU,
        num_threads: int | None = None,
    ) -> None:
        """Load a file.

        Args:
            file: of ``medmask export``.
            nms_iou: as for :class:`medmask.inference.MedMaskPredictor`.
            num_threads: to compute with; those that PyTorch would take if None.

        Raises:
            InputError: the file is missing, or not one of ``medmask export``; onnxruntime is not
                installed.
        """
        self._source = f"model {os.fspath(file)}"
        if not os.path.isfile(file):
            raise InputError(f"{self._source} does not exist, or is no file")
        with open(file, "rb") as opened:
            content = opened.read()
        self._file_hash = hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
        self._session = GraphSession(content, self._source, num_threads)
        self.export = ExportMetadata.from_properties(self._session.properties, self._source)
        reader = ImageReader(self.export.build_augmentation(self._source))
        labels = ClassLabels(tuple(self.export.class_names), tuple(self.export.category_ids))
        super().__init__(reader, labels, nms_iou, self.export.weights_sha256)

    def settings(self) -> dict[str, Any]:
        """Describe, in JSON values, all that detections depend on; a record of them keeps it."""
        return {
            "weights": self.weights_sha256[:HASH_LENGTH],
            "config": self.export.config,
            "model": self._file_hash,
            "device": "cpu",
            "nms_iou": self.nms_iou,
        }

    def _compute(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        images = [x["image"].float() for x in inputs]
        sizes = [tuple(image.shape[1:]) for image in images]
        height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
        padded = torch.stack(
            [F.pad(x, (0, width - x.shape[2], 0, height - x.shape[1])) for x in images]
        )
        outputs = self._session(padded.numpy(), np.array(sizes, dtype=np.int64))
        if not all(np.isfinite(values).all() for values in outputs[:2]):
            raise InputError(
                f"{self._source} predicted boxes or scores that are not finite: its weights are "
                "broken, or the training that left them has diverged"
            )
        found = []
        for sample, size, boxes, scores, classes in zip(inputs, sizes, *outputs, strict=True):
            detections = Instances(
                size,
                pred_boxes=Boxes(torch.from_numpy(boxes)),
                scores=torch.from_numpy(scores),
                pred_classes=torch.from_numpy(classes),
            )
            kept = suppress_overlaps(detections, self.export.nms_iou)
            found.append(to_original_image(kept, sample))
        return found
