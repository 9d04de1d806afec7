"""Detection by a checkpoint on images that belong to no data set."""

import os
from collections.abc import Sequence
from typing import Any

import detectron2.data.transforms as T
import torch
from detectron2.structures import Instances

from medmask.checkpoint import MedMaskCheckpointer
from medmask.config import load_config
from medmask.config.building import build
from medmask.engine.building import autocast, build_model
from medmask.errors import InputError
from medmask.inference.class_labels import find_class_labels
from medmask.inference.config_identity import hash_detector_config
from medmask.inference.image_predictor import NMS_IOU, ImagePredictor
from medmask.inference.image_reader import ImageReader
from medmask.modeling import MedMask
from medmask.utils.file_hash import HASH_LENGTH, hash_file


class MedMaskPredictor(ImagePredictor):
    """A trained detector that takes images as they come.

    Images go through the preprocessing of the config's test loader, and detections through the
    non-maximum suppression of the FROC analysis, so results are those that the evaluation judges.

    ::

        run = "output/demo/alignment"
        predictor = MedMaskPredictor(f"{run}/config.yaml", f"{run}/model_best.pth")
        detections = predictor("mammogram.dcm")["instances"]

    Attributes:
        config: of the run.
        model: the detector.
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
                this, in [0, 1]; None keeps all that the model gives out.

        Raises:
            InputError: a file is missing or faulty, the model is another kind of detector, or the
                weights do not fit the config.
        """
        if not os.path.isfile(checkpoint):
            raise InputError(f"checkpoint {checkpoint} does not exist, or is no file")
        self.config = load_config(os.fspath(config_file), overrides, without=("loss_hooks",))
        model = build_model(self.config).eval()
        if not isinstance(model, MedMask):
            raise InputError(
                f"model of {config_file} is no MedMask detector, but {type(model).__name__}"
            )
        self.model = model
        MedMaskCheckpointer(self.model).load_for_inference(os.fspath(checkpoint))
        augmentation = build(self.config, "dataloader.test.mapper.augmentation", T.Augmentation)
        labels = find_class_labels(self.config.dataloader.test.dataset, self.model)
        super().__init__(ImageReader(augmentation), labels, nms_iou, hash_file(checkpoint))

    def settings(self) -> dict[str, Any]:
        """Describe, in JSON values, all that detections depend on; a record of them keeps it."""
        return {
            "weights": self.weights_sha256[:HASH_LENGTH],
            "config": hash_detector_config(self.config),
            "device": self.model.device.type,
            "nms_iou": self.nms_iou,
        }

    def _compute(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        with torch.no_grad(), autocast(self.config):
            return [output["instances"] for output in self.model(inputs)]
