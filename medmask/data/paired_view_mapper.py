"""Mapper to two views of an image: a weak one for a teacher, a strong one for its student."""

from typing import Any

import detectron2.data.transforms as T

from medmask.data.mapper import DetectionMapper, image_to_tensor
from medmask.data.photometric import change_pixels


class PairedViewMapper:
    """Reads the image of a dataset dict and gives it twice: one geometry, two sets of pixels.

    Boxes that are found in one view are therefore right in the other.

    Args:
        with_boxes: give the boxes, too.
        augmentation: the geometry of both views.
        photometric: makes the strong view from the weak one.
    """

    def __init__(
        self, *, with_boxes: bool, augmentation: T.Augmentation, photometric: T.Augmentation
    ) -> None:
        self.weak_view = DetectionMapper(with_boxes=with_boxes, augmentation=augmentation)
        self.photometric = photometric

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Prepare one image.

        Args:
            dataset_dict: of an image, in Detectron2's format; it is not changed.

        Returns:
            The fields that :class:`DetectionMapper` gives, ``image`` being the weak view, and
            ``strong_image``, the strong view, of the same shape and type.

        Raises:
            InputError: as :class:`DetectionMapper`.
        """
        sample = self.weak_view(dataset_dict)
        weak = sample["image"].permute(1, 2, 0).numpy()
        sample["strong_image"] = image_to_tensor(change_pixels(weak, self.photometric))
        return sample
