"""The side of a pixel that a DICOM file states (PS3.3 C.8.11.7, 10.7.1.3)."""

from pathlib import Path

from medmask.images.dicom.frame_elements import find_source, frame_sources
from medmask.images.dicom.parsing import open_dicom

_KEYWORDS = ("ImagerPixelSpacing", "PixelSpacing")
"""A mammogram states the first, at the detector; a film that was digitized may have the second."""


def read_dicom_spacing(path: Path, frame: int | None = None) -> tuple[float, float] | None:
    """Read the height and the width of a pixel in millimeters, without the pixels.

    Args:
        path: the file.
        frame: the number of the frame, from 0, where there are several.

    Returns:
        (row spacing, column spacing), or None if the file does not state them.

    Raises:
        InputError: the file cannot be read, or states what is no spacing.
    """
    with open_dicom(path) as file:
        sources = frame_sources(file.elements, frame or 0)
        for keyword in _KEYWORDS:
            source = find_source(sources, keyword)
            if source is None:
                continue
            try:
                row, column = (float(value) for value in source.value(keyword))
            except (TypeError, ValueError):
                raise source.fault(keyword, "must be two numbers") from None
            if not (0 < row < 100 and 0 < column < 100):
                raise source.fault(keyword, "must be two numbers of millimeters above 0")
            return row, column
    return None
