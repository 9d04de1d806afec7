"""Regions of EMBED: from the pictures that radiologists marked to the pixels of a DICOM file.

The regions of the column ``ROI_coords`` are those of PNG files, for which images were mirrored so
that the breast is on the left, whatever its side; taken as they are, many lie outside of the
breast. They are mirrored back here, by the rule by which the PNG files were made. Later releases
have the regions in pixels of the DICOM files, too, in ``DCM_ROI_coords``.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medmask.images.dicom.parsing import open_dicom

Box = tuple[float, float, float, float]

_MIRRORED_VIEWS = ("CC", "MLO", "ML")
_BACKGROUND = 0.02
"""Share of the gray levels of an image, from the darkest on, that are taken as empty."""
_LEAST_TISSUE = 0.05


def read_frame(path: Path, side: str | None, view: str | None) -> tuple[int, int, bool]:
    """Read what maps regions to an image.

    Args:
        path: the DICOM file, of which the header is read.
        side: of the breast, as the table has it.
        view: likewise.

    Returns:
        Height and width in pixels, and whether the PNG file was mirrored.

    Raises:
        InputError: the file cannot be read.
    """
    with open_dicom(path) as file:
        elements = file.elements
        size = elements.integer("Rows", at_least=1), elements.integer("Columns", at_least=1)
        orientation = elements.words("PatientOrientation")
    return *size, was_mirrored(orientation, side, view)


def was_mirrored(orientation: Sequence[str], side: str | None, view: str | None) -> bool:
    """Tell whether the PNG file of an image was mirrored.

    Args:
        orientation: Patient Orientation (0020,0020): where rows and columns run to. Rows that run
            to P, the back, have the breast on the right. Empty where it is not given.
        side: of the breast.
        view: such as CC.
    """
    if (view or "").upper() not in _MIRRORED_VIEWS:
        return False
    if not orientation:
        return side == "R"
    return orientation[0].upper().startswith("P")


def to_box(region: Box, size: tuple[int, int], *, mirrored: bool) -> Box | None:
    """Map a region to a box.

    Args:
        region: (ymin, xmin, ymax, xmax) in pixels of the marked picture.
        size: height and width of the image.
        mirrored: whether the picture was mirrored.

    Returns:
        (x0, y0, x1, y1) within the image, in pixels; None if nothing of it is in the image.
    """
    y0, x0, y1, x1 = region
    height, width = size
    if mirrored:
        x0, x1 = width - x1, width - x0
    x0, y0, x1, y1 = np.clip([x0, y0, x1, y1], 0, [width, height] * 2).tolist()
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def is_on_tissue(pixels: np.ndarray, box: Box) -> bool:
    """Tell whether a box lies on the breast, and not in the empty part of an image.

    Args:
        pixels: (H, W), dark outside of the breast.
        box: (x0, y0, x1, y1) in pixels.
    """
    low, high = np.percentile(pixels[::4, ::4], (0, 99.5))
    x0, y0, x1, y1 = np.round(box).astype(int)
    inside = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    return bool((inside > low + _BACKGROUND * (high - low)).mean() >= _LEAST_TISSUE)
