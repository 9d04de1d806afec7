"""Transforms of stored values for presentation (PS3.3 C.11.1 Modality LUT, C.11.2 VOI LUT)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from medmask.images.dicom.elements import Elements, to_word
from medmask.images.dicom.frame_elements import find_source

Transform = Callable[[np.ndarray], np.ndarray]
"""Maps single values, float64 to float64, whatever the shape of the array."""


@dataclass(frozen=True)
class Rescale:
    """The linear modality transform."""

    slope: float
    intercept: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values * self.slope + self.intercept


@dataclass(frozen=True)
class Window:
    """A window; its output is from 0 to 1 (C.11.2.1.2 and C.11.2.1.3)."""

    center: float
    width: float
    function: str

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if self.function == "SIGMOID":
            with np.errstate(over="ignore"):  # exp() saturates as it should
                return 1 / (1 + np.exp(-4 * (values - self.center) / self.width))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.center) / self.width + 0.5, 0, 1)
        if self.width == 1:  # the formula below, without its division by zero
            return (values > self.center - 0.5).astype(np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1) + 0.5, 0, 1)


@dataclass(frozen=True)
class LookupTable:
    """A table; values outside of it get its first or last entry."""

    first: int
    entries: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return self.entries[index.astype(np.int64)].astype(np.float64)


def read_modality_transform(sources: list[Elements], *, signed: bool) -> Transform:
    """Read the modality transform: a table, or slope and intercept.

    Args:
        sources: where the elements of the frame can stand.
        signed: whether stored values have a sign.

    Raises:
        InputError: an element cannot be understood.
    """
    for source in sources:
        table = _read_table(source, "ModalityLUTSequence", signed=signed)
        if table is not None:
            return table
        if source.has("RescaleSlope") or source.has("RescaleIntercept"):
            slope, intercept = (
                source.number("RescaleSlope", 1),
                source.number("RescaleIntercept", 0),
            )
            return Rescale(slope, intercept)
    return Rescale(1, 0)


def read_voi_transform(sources: list[Elements], *, signed: bool) -> Transform | None:
    """Read the first VOI transform: a table, or else a window.

    Args:
        sources: where the elements of the frame can stand.
        signed: whether the values that come out of the modality transform can be negative.

    Returns:
        The transform, or None where the image has none.

    Raises:
        InputError: an element cannot be understood.
    """
    for source in sources:
        table = _read_table(source, "VOILUTSequence", signed=signed)
        if table is not None:
            return table
    stated = find_source(sources, "WindowCenter", "WindowWidth")
    return None if stated is None else _read_window(stated)


def _read_window(source: Elements) -> Window:
    function = source.text("VOILUTFunction", "LINEAR")
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise source.fault("VOILUTFunction", "must be LINEAR, LINEAR_EXACT or SIGMOID")
    width = source.first_number("WindowWidth")
    if width < 1 if function == "LINEAR" else width <= 0:
        raise source.fault("WindowWidth", f"is too small for a {function} window")
    return Window(source.first_number("WindowCenter"), width, function)


def _read_table(source: Elements, keyword: str, *, signed: bool) -> LookupTable | None:
    """The table of the first item that has one."""
    for item in source.items(keyword):
        if item.has("LUTDescriptor", "LUTData"):
            count, first, bits = _read_descriptor(item)
            little = source.is_little_endian
            entries = _table_entries(item, item.value("LUTData"), count, bits, little=little)
            return LookupTable(to_word(first, signed=signed), entries)
    return None


def _read_descriptor(item: Elements) -> tuple[int, int, int]:
    """(number of entries, first value that is mapped, bits of an entry)."""
    numbers = item.integers("LUTDescriptor")
    if len(numbers) != 3:
        raise item.fault("LUTDescriptor", "must be three numbers")
    count, first, bits = numbers
    if not 1 <= bits <= 16:
        raise item.fault("LUTDescriptor", "must give its entries 1 to 16 bits")
    return count % 2**16 or 2**16, first, bits


def _table_entries(item: Elements, data: Any, count: int, bits: int, *, little: bool) -> np.ndarray:
    """(count,) integers from words, or from bytes where two entries share a word."""
    if not isinstance(data, bytes):
        data = np.array([value % 2**16 for value in item.integers("LUTData")], "<u2").tobytes()
    elif not little:
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    if len(data) == 2 * count:
        return np.frombuffer(data, "<u2")
    if bits <= 8 and len(data) in (count, count + 1):
        return np.frombuffer(data, np.uint8)[:count]
    raise item.fault("LUTData", f"holds {len(data)} bytes and not the {count} entries described")
