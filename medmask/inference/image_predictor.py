"""Detection on images as they come, whatever computes the model."""

import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.structures import Instances

from medmask.data.pixel_spacing import PixelSpacing
from medmask.errors import InputError
from medmask.evaluation import Detections, EvaluationSettings
from medmask.evaluation.suppression import kept_after_suppression
from medmask.images import read_image, read_pixel_spacing, to_rgb
from medmask.inference.class_labels import ClassLabels
from medmask.inference.image_reader import ImageReader

ImageLike = str | os.PathLike | np.ndarray

NMS_IOU = EvaluationSettings().nms_iou
"""Suppression before an evaluation, and so before anybody sees detections."""


class ImagePredictor(ABC):
    """Reads images, has a model detect in them, and suppresses overlapping boxes.

    Attributes:
        labels: names and category ids of the model's classes.
        metadata: the names as Detectron2's ``thing_classes``.
        reader: makes the model's inputs of images.
        nms_iou: see below.
        weights_sha256: likewise.
    """

    def __init__(
        self,
        reader: ImageReader,
        labels: ClassLabels,
        nms_iou: float | None,
        weights_sha256: str,
    ) -> None:
        """Keep what comes before and after the model.

        Args:
            reader: makes the model's inputs of images.
            labels: names and category ids of the model's classes.
            nms_iou: class by class, a box goes that overlaps one of a higher score by more than
                this, in [0, 1]; None keeps all that the model gives out.
            weights_sha256: of the file of weights, 64 hexadecimal digits.

        Raises:
            InputError: ``nms_iou`` is out of its range.
        """
        self.reader, self.labels, self.weights_sha256 = reader, labels, weights_sha256
        self.nms_iou = EvaluationSettings(nms_iou=nms_iou).nms_iou
        self.metadata = Metadata(name="predictions", thing_classes=list(labels.names))

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Describe, in JSON values, all that detections depend on; a record of them keeps it."""

    @abstractmethod
    def _compute(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        """Run the model on inputs of one size; boxes are in pixels of the original images."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a path alone is, by its type, several, too
        self, images: ImageLike, *, pixel_spacing_mm: PixelSpacing | None = None
    ) -> dict[str, Instances]: ...

    @overload
    def __call__(
        self, images: Iterable[ImageLike], *, pixel_spacing_mm: PixelSpacing | None = None
    ) -> list[dict[str, Instances]]: ...

    def __call__(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        pixel_spacing_mm: PixelSpacing | None = None,
    ) -> dict[str, Instances] | list[dict[str, Instances]]:
        """Detect.

        Args:
            images: one image or several; those of one size go through the model as one batch, so
                that no image is padded (the last bits of scores depend on the batch: an evaluation
                predicts on each image alone). An image is a path (PNG, JPEG, TIFF, DICOM) or an
                array, (H, W) gray or (H, W, 3) RGB, of uint8 or of floating-point numbers in
                [0, 255]; others, such as those in [0, 1], are stretched from their own range to
                that (:func:`medmask.images.intensity.to_rgb`).
            pixel_spacing_mm: height and width of a pixel of all of these images in millimeters, for
                a config that resizes by it; DICOM files state theirs where it is left out.

        Returns:
            ``{"instances": Instances}`` with ``pred_boxes`` in pixels of the image, ``scores``
            and ``pred_classes``, by descending score; for several images, a list of such dicts.

        Raises:
            InputError: an image cannot be read, or the model's output for it is not finite.
        """
        if isinstance(images, (str, os.PathLike, np.ndarray)):
            return self([images], pixel_spacing_mm=pixel_spacing_mm)[0]
        inputs = [self._prepare(image, pixel_spacing_mm) for image in _as_list(images)]
        by_size = defaultdict(list)
        for index, x in enumerate(inputs):
            by_size[x["image"].shape].append(index)
        outputs: list[dict[str, Instances]] = [{}] * len(inputs)
        for indices in by_size.values():
            batch = self._detect([inputs[i] for i in indices])
            for index, instances in zip(indices, batch, strict=True):
                outputs[index] = {"instances": instances}
        return outputs

    def detect(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        """Detect in images of one size that the reader has read; see :class:`Detector`."""
        return [instances.to("cpu") for instances in self._detect(inputs)]

    def _prepare(self, image: ImageLike, spacing: PixelSpacing | None) -> dict[str, Any]:
        """The model's input for one image."""
        if not isinstance(image, (str, os.PathLike, np.ndarray)):
            raise InputError(
                f"an image of type {type(image).__name__} was given; give a path or a numpy array"
            )
        if isinstance(image, np.ndarray):
            return self.reader.prepare(to_rgb(image), spacing)
        if self.reader.uses_spacing and spacing is None:
            spacing = read_pixel_spacing(image)
        return self.reader.prepare(read_image(image, apply_voi=self.reader.applies_voi), spacing)

    def _detect(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        return [self._suppress(instances) for instances in self._compute(inputs)]

    def _suppress(self, instances: Instances) -> Instances:
        """Drop the boxes that the FROC analysis drops."""
        if self.nms_iou is None:
            return instances
        detections = Detections(
            boxes=instances.pred_boxes.tensor.cpu().double().numpy(),
            scores=instances.scores.cpu().double().numpy(),
            image_indices=np.zeros(len(instances), dtype=np.int64),
            category_indices=instances.pred_classes.cpu().numpy(),
        )
        kept = torch.from_numpy(kept_after_suppression(detections, self.nms_iou))
        return instances[kept.to(instances.scores.device)]


def _as_list(images: Any) -> list[Any]:
    try:
        return list(images)
    except TypeError:
        return [images]  # refused by its type
