"""Preprocessing of a mammogram, or a lesion in it, for a foundation model.

Such models see squares of 224 pixels or so. A mammogram is tall, and a lesion may lie anywhere in
it, so the whole image is scaled to fit and padded with black, which is what surrounds the breast;
nothing is cut off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from medmask.errors import InputError

_INTERPOLATIONS = ("bicubic", "bilinear")


Corners = tuple[float, float, float, float]


class ExpertView(NamedTuple):
    """The part of an image that an expert has seen, and where it saw it."""

    region: Corners
    """(x0, y0, x1, y1) in pixels of the image, as it is in its file"""
    placement: Corners
    """(x0, y0, x1, y1) of that region as shares of the expert's input; around it is padding"""


@dataclass(frozen=True)
class ExpertPreprocessing:
    """The form of input that an expert expects.

    Attributes:
        size: (height, width) of the input in pixels.
        mean: of each of the three channels, for values in [0, 1].
        std: likewise.
        interpolation: "bicubic" or "bilinear"; always antialiased.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str

    @classmethod
    def from_open_clip(cls, config: Mapping[str, Any]) -> "ExpertPreprocessing":
        """Take over a model's own size, mean, standard deviation and interpolation.

        Its way to treat the aspect ratio is not taken over: most models cut to the middle.

        Args:
            config: ``preprocess_cfg`` of an open_clip vision tower.
        """
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else size
        interpolation = config["interpolation"]
        return cls(
            size=(int(height), int(width)),
            mean=tuple(map(float, config["mean"])),
            std=tuple(map(float, config["std"])),
            # open_clip also knows "random", which is for training
            interpolation=interpolation if interpolation in _INTERPOLATIONS else "bicubic",
        )

    def describe(
        self, crop_context: float, *, breast_crop: bool = False, breast_window: bool = False
    ) -> dict[str, Any]:
        """Describe the preprocessing, of lesions as well, for a store's manifest."""
        return {
            **asdict(self),
            "aspect": "scaled to fit, padded with black on both sides",
            "lesion_crop": f"square round the box, {crop_context:g} times its longer side",
            "breast_crop": breast_crop,
            "breast_window": breast_window,
        }

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """Prepare an image.

        Args:
            image: (H, W, 3) RGB in [0, 255], uint8 or float32, as
                :func:`medmask.images.read_image` gives it; float32 keeps its gray levels.

        Returns:
            (3, height, width) float32, normalized.
        """
        pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
        height, width = self.fitted_size(*image.shape[:2])
        pixels = F.interpolate(
            pixels, (height, width), mode=self.interpolation, align_corners=False, antialias=True
        )
        pixels = pixels.clamp_(0, 255).div_(255)  # bicubic interpolation overshoots at edges
        top, left = self._offsets(height, width)
        bottom, right = self.size[0] - height - top, self.size[1] - width - left
        pixels = F.pad(pixels, (left, right, top, bottom))[0]
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (pixels - mean[:, None, None]) / std[:, None, None]

    def placement(self, height: int, width: int) -> Corners:
        """Place of an image of this size in the input, see :class:`ExpertView`."""
        fitted_height, fitted_width = self.fitted_size(height, width)
        top, left = self._offsets(fitted_height, fitted_width)
        rows, columns = self.size
        bottom, right = top + fitted_height, left + fitted_width
        return left / columns, top / rows, right / columns, bottom / rows

    def _offsets(self, height: int, width: int) -> tuple[int, int]:
        """(top, left) of an image of the fitted size."""
        return (self.size[0] - height) // 2, (self.size[1] - width) // 2

    def fitted_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of an image inside the input; the rest of the input is padding."""
        scale = min(self.size[0] / height, self.size[1] / width)
        return max(round(height * scale), 1), max(round(width * scale), 1)


def lesion_crop(image: np.ndarray, box: Sequence[float] | np.ndarray, context: float) -> np.ndarray:
    """Cut out a lesion with its surroundings.

    The window is a square round the middle of the box. At the border of the image it is moved
    inside; where the image is smaller than the window, it is the whole of the image.

    Args:
        image: (H, W) or (H, W, 3).
        box: XYXY in pixels.
        context: side of the window relative to the longer side of the box, at least 1.

    Returns:
        (h, w) or (h, w, 3), a view.
    """
    x0, y0, x1, y1 = box
    side = max(round(context * max(x1 - x0, y1 - y0)), 1)
    rows = _window((y0 + y1) / 2, side, image.shape[0])
    columns = _window((x0 + x1) / 2, side, image.shape[1])
    return image[rows, columns]


def _window(center: float, side: int, length: int) -> slice:
    start = min(max(round(center - side / 2), 0), max(length - side, 0))
    return slice(start, min(start + side, length))


def check_crop_context(context: float) -> None:
    """Raise an InputError unless ``context`` is a factor that :func:`lesion_crop` can use."""
    if not 1 <= context < float("inf"):
        raise InputError(f"crop context is {context}: give a factor of 1 or more")
