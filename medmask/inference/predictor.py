"""Detection on images that belong to no data set."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.structures import Instances
from omegaconf import OmegaConf

from medmask.checkpoint import MedMaskCheckpointer
from medmask.config import load_config
from medmask.config.building import build
from medmask.data.images import read_image, read_pixel_spacing, to_rgb
from medmask.data.pixel_spacing import PixelSpacing
from medmask.engine.run import autocast, build_model
from medmask.errors import InputError
from medmask.evaluation import Detections, EvaluationSettings
from medmask.evaluation.suppression import kept_after_suppression
from medmask.inference.class_labels import find_class_labels
from medmask.inference.image_reader import ImageReader

ImageLike = str | os.PathLike | np.ndarray

NMS_IOU = EvaluationSettings().nms_iou
"""Suppression before an evaluation, and so before anybody sees detections."""

_HASH_LENGTH = 16


class MedMaskPredictor:
    """A trained detector that takes images as they come.

    Images go through the preprocessing of the config's test loader, and detections through the
    non-maximum suppression of the FROC analysis, so results are those that the evaluation judges.

    ::

        run = "output/demo/expert"
        predictor = MedMaskPredictor(f"{run}/config.yaml", f"{run}/model_best.pth")
        detections = predictor("mammogram.dcm")["instances"]

    Attributes:
        config: of the run.
        model: the detector.
        labels: names and category ids of its classes.
        metadata: the names as Detectron2's ``thing_classes``.
        reader: makes the model's inputs of images.
        nms_iou: see below.
    """

    def __init__(
        self,
        config_file: str | os.PathLike,
        checkpoint: str | os.PathLike,
        overrides: Sequence[str] = (),
        *,
        nms_iou: float | None = NMS_IOU,
    ):
        """Load a detector.

        Args:
            config_file: a LazyConfig file, or the ``config.yaml`` beside a run's results.
            checkpoint: the weights.
            overrides: ``key=value`` settings of the config, such as ``train.device=cpu``.
            nms_iou: class by class, a box goes that overlaps one of a higher score by more than
                this, in [0, 1]; None keeps all.

        Raises:
            InputError: a file is missing or faulty, or the weights do not fit the config.
        """
        self.nms_iou = EvaluationSettings(nms_iou=nms_iou).nms_iou
        if not os.path.isfile(checkpoint):
            raise InputError(f"checkpoint {checkpoint} does not exist, or is no file")
        self.config = load_config(os.fspath(config_file), overrides, without=("loss_hooks",))
        self.model = build_model(self.config).eval()
        MedMaskCheckpointer(self.model).load_for_inference(os.fspath(checkpoint))
        with open(checkpoint, "rb") as file:
            self._weights_hash = hashlib.file_digest(file, "sha256").hexdigest()[:_HASH_LENGTH]
        self.reader = ImageReader(
            build(self.config, "dataloader.test.mapper.augmentation", T.Augmentation)
        )
        self.labels = find_class_labels(self.config.dataloader.test.dataset, self.model)
        self.metadata = Metadata(name="predictions", thing_classes=list(self.labels.names))

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
                that (:func:`medmask.data.images.intensity.to_rgb`).
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

    def settings(self) -> dict[str, Any]:
        """Describe, in JSON values, all that detections depend on; a record of them keeps it."""
        config = OmegaConf.to_container(self.config, resolve=True)
        relevant = [config["model"], config["dataloader"]["test"]["mapper"], config["train"]["amp"]]
        text = json.dumps(relevant, sort_keys=True, default=_qualified_name)
        return {
            "weights": self._weights_hash,
            "config": hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH],
            "device": self.model.device.type,
            "nms_iou": self.nms_iou,
        }

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
        with torch.no_grad(), autocast(self.config):
            return [self._suppress(output["instances"]) for output in self.model(inputs)]

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


def _qualified_name(target: Any) -> str:
    """The name of a function or class, as a config that was written to a file has it."""
    name = getattr(target, "__qualname__", None)
    return str(target) if name is None else f"{target.__module__}.{name}"


def _as_list(images: Any) -> list[Any]:
    try:
        return list(images)
    except TypeError:
        return [images]  # refused by its type
