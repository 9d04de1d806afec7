"""Cropping to the breast, alike in training, testing and prediction."""

import detectron2.data.transforms as T
import numpy as np

from medmask.data.breast.finding import find_breast
from medmask.errors import InputError

MARGIN = 0.03


class BreastCrop(T.Augmentation):
    """Crop to the breast and a margin around it; nothing is drawn at random.

    An image in which no breast is found is kept whole.

    Args:
        margin: on each side, as a share of the longer side of the breast; as far as the image goes.

    Raises:
        InputError: the margin is negative or not finite.
    """

    def __init__(self, margin: float = MARGIN) -> None:
        super().__init__()
        if not 0 <= margin < float("inf"):
            raise InputError(f"the margin of the breast crop is {margin}, but must be at least 0")
        self.margin = margin

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Find the breast in an (H, W, 3) image."""
        breast = find_breast(image)
        if breast is None:
            return T.NoOpTransform()
        height, width = image.shape[:2]
        x0, y0, x1, y1 = breast.box
        margin = round(self.margin * max(x1 - x0, y1 - y0))
        x0, y0 = max(x0 - margin, 0), max(y0 - margin, 0)
        x1, y1 = min(x1 + margin, width), min(y1 + margin, height)
        return T.CropTransform(x0, y0, x1 - x0, y1 - y0, width, height)
