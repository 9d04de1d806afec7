"""Gray levels of an image as a presentation state keeps them (PS3.3 C.11.1 and C.11.8).

What a state does not hold does not apply, whatever the image has. highdicom copies an image's own
transforms, but refuses a table beside a window, and elements that are there and empty; and it says
of a table of 12 bits that it has 16, so that an image is shown nearly black.
"""

from typing import Any

import numpy as np
from pydicom import Dataset

from medmask.images.dicom.elements import Elements, to_word
from medmask.images.dicom.lookup import (
    LookupTable,
    Window,
    read_modality_transform,
    read_voi_transform,
)

_KEYWORDS = (
    "ModalityLUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
)
_BITS = 16


def without_gray_levels(header: Dataset) -> Dataset:
    """A header without all of which :func:`gray_levels` makes elements of a state."""
    plain = Dataset(header)
    for keyword in _KEYWORDS:
        if keyword in plain:
            delattr(plain, keyword)
    return plain


def gray_levels(elements: Elements) -> Dataset:
    """The modality and the VOI transform of an image, as elements of its presentation state.

    They are those that the image is read by: a table goes before a window.

    Args:
        elements: of the image.

    Raises:
        InputError: an element cannot be understood.
    """
    levels = Dataset()
    modality = read_modality_transform([elements], signed=False)
    if isinstance(modality, LookupTable):
        source, bits = _table_of(elements, "ModalityLUTSequence")
        table = _make_table(source, modality.entries, bits)
        table.ModalityLUTType = source.text("ModalityLUTType", "US")
        levels.ModalityLUTSequence = [table]
    elif elements.has("RescaleSlope") or elements.has("RescaleIntercept"):
        levels.RescaleIntercept = elements.value("RescaleIntercept") or 0
        levels.RescaleSlope = elements.number("RescaleSlope", 1)
        levels.RescaleType = elements.text("RescaleType", "US")
    voi = read_voi_transform([elements], signed=False)
    if isinstance(voi, LookupTable):
        source, bits = _table_of(elements, "VOILUTSequence")
        # of a state, validators take 8 and 16 bits alone; what counts is the share of the range
        stretched = np.rint(np.minimum(voi.entries / (2**bits - 1), 1) * (2**_BITS - 1))
        window = Dataset()
        window.VOILUTSequence = [_make_table(source, stretched, _BITS)]
        levels.SoftcopyVOILUTSequence = [window]
    elif isinstance(voi, Window):
        levels.SoftcopyVOILUTSequence = [_copy_windows(elements, voi)]
    return levels


def _table_of(elements: Elements, keyword: str) -> tuple[Elements, int]:
    """The first item with a table, and the bits of its entries."""
    source = next(x for x in elements.items(keyword) if x.has("LUTDescriptor", "LUTData"))
    return source, source.integers("LUTDescriptor")[2]


def _make_table(source: Elements, entries: np.ndarray, bits: int) -> Dataset:
    """An item with (N,) entries for the values that the table of another item maps."""
    first = source.integers("LUTDescriptor")[1]
    signed = first < 0
    words = [to_word(len(entries), signed=signed), to_word(first, signed=signed), bits]
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", words)
    if source.has("LUTExplanation"):
        item.LUTExplanation = source.value("LUTExplanation")
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


def _copy_windows(elements: Elements, first: Window) -> Dataset:
    """All windows where centers and widths are pairs, else the first."""
    centers, widths, explanations = (
        _list(elements.value(keyword))
        for keyword in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation")
    )
    if len(centers) != len(widths):
        centers, widths = [first.center], [first.width]
    item = Dataset()
    item.WindowCenter, item.WindowWidth = centers, widths
    if len(explanations) == len(centers):
        item.WindowCenterWidthExplanation = explanations
    if elements.has("VOILUTFunction"):
        item.VOILUTFunction = first.function
    return item


def _list(value: Any) -> list[Any]:
    """One or several values, or none."""
    if value is None:
        return []
    return [value] if isinstance(value, str | int | float) else list(value)
