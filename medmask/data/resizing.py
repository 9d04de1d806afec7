"""Resizing of images of every type, smooth wherever it shrinks them."""

import math
from collections.abc import Sequence

import detectron2.data.transforms as T
import numpy as np
import torch
import torch.nn.functional as F


class SmoothResizeTransform(T.ResizeTransform):
    """Resizing that low-pass filters images of every type before it shrinks them.

    Detectron2 does so for uint8 only. Without it, float32 images (16-bit files, DICOM) would alias,
    look unlike 8-bit ones, and lose microcalcifications of a few pixels.
    """

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """Resize an (H, W, 3) image, uint8 or float32, to (new_h, new_w, 3)."""
        if img.dtype == np.uint8:
            return super().apply_image(img, interp)
        planes = torch.from_numpy(np.ascontiguousarray(img)).permute(2, 0, 1)
        planes = F.interpolate(
            planes[None], (self.new_h, self.new_w), mode="bilinear", antialias=True
        )
        return planes[0].permute(1, 2, 0).numpy()


def draw_scale(scale_range: Sequence[float]) -> float:
    """Draw a factor between two, evenly by its logarithm; (1, 1) draws no random number."""
    if tuple(scale_range) == (1.0, 1.0):
        return 1.0
    return math.exp(np.random.uniform(*np.log(scale_range)))


class SmoothResizeShortestEdge(T.ResizeShortestEdge):
    """Detectron2's ``ResizeShortestEdge`` with :class:`SmoothResizeTransform`.

    Args:
        short_edge_length: the lengths in pixels to choose from.
        max_size: the longest that the long edge may become; the short one is then shorter.
        scale_range: least and greatest factor on both, drawn evenly by its logarithm.
    """

    def __init__(
        self,
        short_edge_length: Sequence[int],
        max_size: int,
        scale_range: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__(list(short_edge_length), max_size, sample_style="choice")
        self.scale_range = tuple(scale_range)

    def get_transform(self, image: np.ndarray) -> SmoothResizeTransform:
        """Draw a length; ``image`` (H, W, 3) gives the size to start from."""
        height, width = image.shape[:2]
        length = int(np.random.choice(self.short_edge_length))
        scale = draw_scale(self.scale_range)
        new_height, new_width = self.get_output_shape(
            height, width, round(length * scale), round(self.max_size * scale)
        )
        return SmoothResizeTransform(height, width, max(new_height, 1), max(new_width, 1))
