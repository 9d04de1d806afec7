"""Reading images into a detector's inputs: all that happens before the model, without the model.

An :class:`ImageReader` holds no weights, so that other processes can read ahead of the model.
"""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import detectron2.data.transforms as T
import numpy as np

from medmask.data.breast import sets_window
from medmask.data.mapper import augment_image, image_to_tensor
from medmask.data.pixel_spacing import PixelSpacing, uses_pixel_spacing
from medmask.errors import InputError
from medmask.inference.drawing import make_view
from medmask.inference.prediction_images import PredictionImage, read_spacing
from medmask.inference.prediction_record import FAILED, REFUSED
from medmask.utils.failures import one_line


class ReadImage(NamedTuple):
    """An image that is ready for the model."""

    model_input: dict[str, Any]
    """``image`` (3, H, W), ``original_corners``, and ``height`` and ``width`` of the original"""
    view: np.ndarray | None
    """the original as people see it, (H', W', 3) by :func:`make_view`, if it was asked for"""
    seconds: float
    """that reading took"""


class Fault(NamedTuple):
    """The outcome of an image that gave no detections."""

    status: str
    """``failed`` or ``refused``"""
    sentence: str
    """names the file"""


@dataclass(frozen=True)
class ImageReader:
    """Reads images as the test loader of a config does.

    Attributes:
        augmentation: of the test loader.
    """

    augmentation: T.Augmentation

    @property
    def applies_voi(self) -> bool:
        """True if DICOM files are read with the window of their own.

        A config that sets the breast's window goes without, see
        :func:`medmask.data.read_image`.
        """
        return not sets_window(self.augmentation)

    @property
    def uses_spacing(self) -> bool:
        """True if images are resized to a pixel spacing where theirs is known."""
        return uses_pixel_spacing(self.augmentation)

    def prepare(self, pixels: np.ndarray, spacing: PixelSpacing | None = None) -> dict[str, Any]:
        """Make the model's input of (H, W, 3) RGB in [0, 255].

        Args:
            pixels: of the image.
            spacing: (height, width) of a pixel in millimeters, if it is known and used.
        """
        augmented = augment_image(pixels, self.augmentation, spacing)
        height, width = pixels.shape[:2]
        return {
            "image": image_to_tensor(augmented.pixels),
            "original_corners": augmented.original_corners,
            "height": height,
            "width": width,
        }

    def read(self, image: PredictionImage, *, with_view: bool) -> ReadImage | Fault:
        """Read an image; whatever is wrong with it becomes a sentence.

        Args:
            image: to read.
            with_view: whether to return what people look at, too.
        """
        start = time.perf_counter()
        try:
            pixels = image.read(apply_voi=self.applies_voi)
            spacing = read_spacing(image) if self.uses_spacing else None
            model_input = self.prepare(pixels, spacing)
            view = None
            if with_view:
                view = make_view(pixels if self.applies_voi else image.read())
        except Exception as error:  # nothing that one image does may stop the rest
            return describe_fault(image, error)
        return ReadImage(model_input, view, time.perf_counter() - start)


def describe_fault(image: PredictionImage, error: Exception) -> Fault:
    """Say what happened to an image, in a sentence that names the file."""
    if isinstance(error, InputError):
        text = str(error)
        return Fault(REFUSED, text if str(image.path) in text else f"image {image.name}: {text}")
    if isinstance(error, MemoryError):
        return Fault(
            FAILED,
            f"image {image.name} does not fit into memory: reduce it, or take another machine",
        )
    reason = one_line(error) or "no reason given"
    return Fault(
        FAILED,
        f"image {image.name} cannot be predicted on ({type(error).__name__}: {reason[:300]})",
    )
