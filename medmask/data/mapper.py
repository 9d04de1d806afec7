"""Mapper from a dataset dict of Detectron2 to an input of the detector."""

from typing import Any

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from medmask.data.dataset_dicts import box_corners, read_dataset_image
from medmask.data.photometric import change_pixels

_SLIVER = 1e-3
"""Pixels: rounding leaves this much of a box that a crop cut away at its very edge."""


class DetectionMapper:
    """Reads the image of a dataset dict, augments it, and transforms its boxes likewise.

    Args:
        with_boxes: give the boxes; test images, and unlabeled images in training, go without.
        augmentation: applied to image and boxes.
        photometric: applied to the pixels after that; see
            :func:`build_photometric_augmentation`.
    """

    def __init__(
        self,
        *,
        with_boxes: bool,
        augmentation: T.Augmentation,
        photometric: T.Augmentation | None = None,
    ) -> None:
        self.with_boxes = with_boxes
        self.augmentation = augmentation
        self.photometric = photometric

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Prepare one image.

        Args:
            dataset_dict: of an image, in Detectron2's format; it is not changed.

        Returns:
            The fields of the dict (``file_name``, ``image_id``, ``height`` and ``width`` of the
            original image, ``patient_id``, ...) without ``annotations``, and:

            - ``image``: (3, H, W) RGB tensor in [0, 255], uint8 or (from more than 8 bits) float32.
            - ``instances``, with ``with_boxes``: ``gt_boxes`` (N, 4) in pixels of ``image``,
              clipped to it, ``gt_classes`` (N,) int64, and ``gt_annotation_index`` (N,) int64, the
              index of each box in the dict's ``annotations``. Crowds, and boxes that a crop
              emptied, are left out.

        Raises:
            InputError: the image cannot be read, or has another size than the dict says.
        """
        image = read_dataset_image(dataset_dict)
        augmentation_input = T.AugInput(image)
        transform = self.augmentation(augmentation_input)
        image = augmentation_input.image
        if self.photometric is not None:
            image = change_pixels(image, self.photometric)
        sample = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        sample["image"] = image_to_tensor(image)
        if self.with_boxes:
            sample["instances"] = _transform_annotations(
                dataset_dict["annotations"], transform, image.shape[:2]
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
