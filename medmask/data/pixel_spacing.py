"""Resizing to one pixel spacing, so that equal lesions look equally large on every scanner."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import detectron2.data.transforms as T
import numpy as np

from medmask.coco import image_label
from medmask.data.resizing import SmoothResizeTransform, draw_scale
from medmask.errors import InputError
from medmask.images import read_pixel_spacing
from medmask.utils.json_files import show

PixelSpacing = tuple[float, float]
"""Height and width of a pixel in millimeters."""
_PLAUSIBLE_MM = (0.01, 5.0)
"""From finer than any detector to a breast of a few dozen pixels; meters, centimeters and
micrometers lie outside."""


class ResizeToPixelSpacing(T.Augmentation):
    """Resize to one pixel spacing; images of unknown spacing as another augmentation does.

    Args:
        pixel_spacing_mm: side of a pixel of the result, in millimeters.
        max_size: the longest that an edge may become; a longer one gets a coarser spacing.
        scale_range: least and greatest factor on the size, drawn evenly by its logarithm.
        otherwise: resizes images of unknown spacing.

    Raises:
        InputError: the spacing is not a positive number.
    """

    def __init__(
        self,
        pixel_spacing_mm: float,
        max_size: int,
        otherwise: T.Augmentation,
        scale_range: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        if not 0 < pixel_spacing_mm < math.inf:
            raise InputError(f"pixel_spacing_mm is {pixel_spacing_mm}, but must be above 0")
        self.pixel_spacing_mm = pixel_spacing_mm
        self.max_size = max_size
        self.otherwise = otherwise
        self.scale_range = tuple(scale_range)

    def get_transform(
        self, image: np.ndarray, pixel_spacing_mm: PixelSpacing | None
    ) -> T.Transform:
        """Resize an (H, W, 3) image whose pixels have this (height, width) in millimeters."""
        if pixel_spacing_mm is None:
            return self.otherwise.get_transform(image)
        factor = draw_scale(self.scale_range)
        height, width = image.shape[:2]
        new_height, new_width = (
            side * spacing / self.pixel_spacing_mm * factor
            for side, spacing in zip((height, width), pixel_spacing_mm, strict=True)
        )
        shrink = min(self.max_size * factor / max(new_height, new_width), 1)
        new_size = (max(round(side * shrink), 1) for side in (new_height, new_width))
        return SmoothResizeTransform(height, width, *new_size)


def uses_pixel_spacing(augmentation: T.Augmentation) -> bool:
    """Tell whether an augmentation asks for the pixel spacing of an image."""
    if isinstance(augmentation, ResizeToPixelSpacing):
        return True
    return any(map(uses_pixel_spacing, getattr(augmentation, "augs", ())))


def pixel_spacing_of(dataset_dict: dict[str, Any]) -> PixelSpacing | None:
    """Find the pixel spacing of an image.

    Args:
        dataset_dict: of the image; its ``pixel_spacing_mm``, the side of a pixel, goes before what
            a DICOM file states.

    Returns:
        (row spacing, column spacing) in millimeters, or None if nothing states it.

    Raises:
        InputError: what is stated is not a spacing.
    """
    spacing = dataset_dict.get("pixel_spacing_mm")
    if spacing is None:
        return read_pixel_spacing(dataset_dict["file_name"])
    if not _is_spacing(spacing):
        raise InputError(
            f"image {dataset_dict['file_name']} has the pixel_spacing_mm {spacing!r}, which must "
            "be the side of a pixel in millimeters, above 0; correct the annotation file"
        )
    return float(spacing), float(spacing)


def spacing_problems(images: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Find the records whose ``pixel_spacing_mm`` is no spacing, or one of no mammogram.

    Args:
        images: of an annotation file, as :class:`medmask.coco.CocoTables` gives them.

    Yields:
        One sentence for each of them.
    """
    for image in images:
        spacing = image.get("pixel_spacing_mm")
        if spacing is None:
            continue
        least, most = _PLAUSIBLE_MM
        if not _is_spacing(spacing):
            fault = "must be the side of a pixel in millimeters, a number above 0"
        elif not least <= spacing <= most:
            fault = f"is no side of a mammogram's pixel in millimeters, {least} to {most}"
        else:
            continue
        yield f"{image_label(image)}: its pixel_spacing_mm {show(spacing)} {fault}"


def _is_spacing(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf
