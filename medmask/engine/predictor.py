"""Detection on images that belong to no data set."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.config import instantiate
from detectron2.data import MetadataCatalog
from detectron2.structures import Instances

from medmask.checkpoint import MedMaskCheckpointer
from medmask.data.image_io import read_image, to_rgb
from medmask.engine.lazy_config import load_config
from medmask.engine.training import build_model

ImageLike = str | os.PathLike | np.ndarray


class MedMaskPredictor:
    """A trained detector that takes images as they come.

    Images go through the preprocessing of the config's test loader, so results are those of the
    evaluation.

    ::

        run = "output/demo/expert"
        predictor = MedMaskPredictor(f"{run}/config.yaml", f"{run}/model_best.pth")
        detections = predictor("mammogram.dcm")["instances"]
    """

    def __init__(self, config_file: str, checkpoint: str, overrides: Sequence[str] = ()):
        """Load a detector.

        Args:
            config_file: a LazyConfig file, or the ``config.yaml`` beside a run's results.
            checkpoint: the weights.
            overrides: ``key=value`` settings of the config, such as ``train.device=cpu``.

        Raises:
            InputError: a file is missing or faulty.
        """
        config = load_config(config_file, overrides)
        self.model = build_model(config).eval()
        MedMaskCheckpointer(self.model).load(checkpoint)
        self.augmentation = instantiate(config.dataloader.test.mapper.augmentation)
        self.metadata = MetadataCatalog.get(config.dataloader.test.dataset)

    def __call__(
        self, images: ImageLike | Iterable[ImageLike]
    ) -> dict[str, Instances] | list[dict[str, Instances]]:
        """Detect.

        Args:
            images: one image or several; those of one size go through the model as one batch, so
                that no image is padded. An image is a path (PNG, JPEG, TIFF, DICOM) or an array,
                (H, W) grey or (H, W, 3) RGB, of uint8 or of float32 in [0, 255]; other values are
                stretched from their own range to that.

        Returns:
            ``{"instances": Instances}`` with ``pred_boxes`` in pixels of the image, ``scores``
            and ``pred_classes``, by descending score; for several images, a list of such dicts.

        Raises:
            InputError: an image cannot be read.
        """
        if isinstance(images, (str, os.PathLike, np.ndarray)):
            return self([images])[0]
        inputs = [self._prepare(image) for image in images]
        by_size = defaultdict(list)
        for index, x in enumerate(inputs):
            by_size[x["image"].shape].append(index)
        outputs: list[dict[str, Instances]] = [{}] * len(inputs)
        with torch.no_grad():
            for indices in by_size.values():
                for index, output in zip(
                    indices, self.model([inputs[i] for i in indices]), strict=True
                ):
                    outputs[index] = output
        return outputs

    def _prepare(self, image: ImageLike) -> dict[str, Any]:
        """The model's input for one image."""
        pixels = to_rgb(image) if isinstance(image, np.ndarray) else read_image(image)
        height, width = pixels.shape[:2]
        augmentation_input = T.AugInput(pixels)
        self.augmentation(augmentation_input)
        planes = augmentation_input.image.transpose(2, 0, 1)
        tensor = torch.from_numpy(np.array(planes, order="C"))
        return {"image": tensor, "height": height, "width": width}
