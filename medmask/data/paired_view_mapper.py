"""Two views of one image: a weak one for a teacher and a strong one for its student."""

from typing import Any

import detectron2.data.transforms as T

from medmask.data.mapper import DetectionMapper, image_to_tensor
from medmask.data.photometric import change_pixels


class PairedViewMapper:
    """Reads the image of a record and gives it twice, with one geometry and two sets of pixels.

    Boxes that are found in one view are therefore right in the other.

    Args:
        is_train: whether to give the boxes, too.
        augmentation: the geometry of both views.
        photometric: what makes the strong view from the weak one.
    """

    def __init__(
        self, *, is_train: bool, augmentation: T.Augmentation, photometric: T.Augmentation
    ) -> None:
        self.weak_view = DetectionMapper(is_train=is_train, augmentation=augmentation)
        self.photometric = photometric

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Prepare one image.

        Args:
            record: a dict in Detectron2's format; it is not changed.

        Returns:
            What :class:`DetectionMapper` gives; its ``image`` is the weak view. And
            ``strong_image``, the strong view, of the same shape and type.

        Raises:
            InputError: as :class:`DetectionMapper`.
        """
        sample = self.weak_view(record)
        weak = sample["image"].permute(1, 2, 0).numpy()
        sample["strong_image"] = image_to_tensor(change_pixels(weak, self.photometric))
        return sample
