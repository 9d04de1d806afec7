"""Gray levels of an image as a presentation state keeps them (PS3.3 C.11.1 and C.11.8).

What a state does not hold does not apply, whatever the image has. highdicom copies an image's own
transforms, but refuses a table beside a window, and elements that are there and empty; and it takes
all tables for ones of 8 or 16 bits.
"""

from typing import Any

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
        table, source = _copy_table(elements, "ModalityLUTSequence", modality)
        table.ModalityLUTType = source.text("ModalityLUTType", "US")
        levels.ModalityLUTSequence = [table]
    elif elements.has("RescaleSlope") or elements.has("RescaleIntercept"):
        levels.RescaleIntercept = elements.value("RescaleIntercept") or 0
        levels.RescaleSlope = elements.number("RescaleSlope", 1)
        levels.RescaleType = elements.text("RescaleType", "US")
    voi = read_voi_transform([elements], signed=False)
    if isinstance(voi, LookupTable):
        window = Dataset()
        window.VOILUTSequence = [_copy_table(elements, "VOILUTSequence", voi)[0]]
        levels.SoftcopyVOILUTSequence = [window]
    elif isinstance(voi, Window):
        levels.SoftcopyVOILUTSequence = [_copy_windows(elements, voi)]
    return levels


def _copy_table(elements: Elements, keyword: str, table: LookupTable) -> tuple[Dataset, Elements]:
    """An item of the first table, of which ``table`` was read, and the item that it is of."""
    source = next(x for x in elements.items(keyword) if x.has("LUTDescriptor", "LUTData"))
    _, first, bits = source.integers("LUTDescriptor")
    signed = first < 0
    words = [to_word(len(table.entries), signed=signed), to_word(first, signed=signed), bits]
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", words)
    if source.has("LUTExplanation"):
        item.LUTExplanation = source.value("LUTExplanation")
    item.add_new("LUTData", "OW", table.entries.astype("<u2").tobytes())
    return item, source


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
