"""From a record of a data set to an input of the detector."""

from typing import Any

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from medmask.data.dataset_dicts import box_corners, read_dataset_image
from medmask.data.photometric import change_pixels

_SLIVER = 1e-3
"""Pixels: what is left of a box by rounding, when it was cropped away at its very edge."""


class DetectionMapper:
    """Reads the image of a record, augments it, and brings its boxes along.

    Args:
        is_train: whether to give the boxes; unlabelled images of a training run go without.
        augmentation: what to do to image and boxes.
        photometric: what to do to the pixels after that; see
            :func:`build_photometric_augmentation`.
    """

    def __init__(
        self,
        *,
        is_train: bool,
        augmentation: T.Augmentation,
        photometric: T.Augmentation | None = None,
    ) -> None:
        self.is_train = is_train
        self.augmentation = augmentation
        self.photometric = photometric

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Prepare one image.

        Args:
            record: a dict in Detectron2's format; it is not changed.

        Returns:
            The fields of the record (``file_name``, ``image_id``, ``height`` and ``width`` of the
            original image, ``patient_id``, ...) without ``annotations``, and:

            - ``image``: (3, H, W) RGB tensor in [0, 255], uint8 or (from more than 8 bits) float32.
            - ``instances``, with ``is_train``: ``gt_boxes`` (N, 4) in pixels of ``image``, clipped
              to it, ``gt_classes`` (N,) int64, and ``gt_annotation_index`` (N,) int64: where each
              box stands in the record's ``annotations``. Crowds, and boxes that a crop emptied, are
              left out.

        Raises:
            InputError: the image cannot be read, or has another size than the record says.
        """
        image = read_dataset_image(record)
        augmentation_input = T.AugInput(image)
        transform = self.augmentation(augmentation_input)
        image = augmentation_input.image
        if self.photometric is not None:
            image = change_pixels(image, self.photometric)
        sample = {key: value for key, value in record.items() if key != "annotations"}
        sample["image"] = image_to_tensor(image)
        if self.is_train:
            sample["instances"] = _transform_annotations(
                record["annotations"], transform, image.shape[:2]
            )
        return sample


def image_to_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) array -> (3, H, W) tensor with memory of its own."""
    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))


def _transform_annotations(
    annotations: list[dict], transform: T.Transform, image_size: tuple[int, int]
) -> Instances:
    index = [i for i, annotation in enumerate(annotations) if not annotation.get("iscrowd", 0)]
    annotations = [annotations[i] for i in index]
    corners = transform.apply_box(box_corners(annotations))
    boxes = Boxes(torch.from_numpy(corners).float())
    boxes.clip(image_size)
    instances = Instances(image_size)
    instances.gt_boxes = boxes
    instances.gt_classes = torch.tensor(
        [annotation["category_id"] for annotation in annotations], dtype=torch.int64
    )
    instances.gt_annotation_index = torch.tensor(index, dtype=torch.int64)
    return instances[boxes.nonempty(threshold=_SLIVER)]
