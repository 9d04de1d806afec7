"""DICOM images as they are meant to be shown."""

import functools
import logging
from pathlib import Path

import numpy as np

from medmask.errors import InputError
from medmask.images.dicom.description import (
    FrameSize,
    PixelLayout,
    read_frame_size,
    read_pixel_layout,
)
from medmask.images.dicom.elements import Elements
from medmask.images.dicom.frame_elements import find_source, frame_sources
from medmask.images.dicom.lookup import (
    Rescale,
    Transform,
    Window,
    read_modality_transform,
    read_voi_transform,
)
from medmask.images.dicom.parsing import DicomFile, open_dicom
from medmask.images.dicom.pixels import check_pixel_data, read_stored_values
from medmask.images.frames import choose_frame

logger = logging.getLogger(__name__)

# A difference in the output of a window, which is from 0 to 1, that no display can show: a sigmoid
# window far off the image gives values that are all but equal.
_VISIBLE_DIFFERENCE = 1e-6


def read_dicom_size(path: Path, frame: int | None = None) -> tuple[int, int]:
    """Read (height, width) without the pixels; see :func:`read_dicom`."""
    with open_dicom(path) as file:
        size, _ = describe_pixels(file)
    choose_frame(path, frame, size.frames)
    return size.rows, size.columns


def count_dicom_frames(path: Path) -> int:
    """Count the frames without reading their pixels.

    Raises:
        InputError: the file is not DICOM, holds no image, or not as many frames as it says.
    """
    with open_dicom(path) as file:
        return describe_pixels(file)[0].frames


def describe_pixels(file: DicomFile) -> tuple[FrameSize, PixelLayout]:
    """Read the size and the layout of the pixels, without decoding any.

    Raises:
        InputError: the header does not tell them, or the amount of data is that of others.
    """
    size = read_frame_size(file.elements)
    is_float = file.pixels is not None and file.pixels.keyword != "PixelData"
    layout = read_pixel_layout(file.elements, is_float=is_float)
    check_pixel_data(file, size, layout)
    return size, layout


def read_dicom(path: Path, frame: int | None = None) -> np.ndarray:
    """Read one frame of a DICOM image as it is meant to be shown.

    The modality transform (rescale slope and intercept, or its table) and the first VOI transform
    (table, or window: linear, linear exact or sigmoid) are applied, MONOCHROME1 is inverted, and
    bits above Bits Stored are ignored. Elements in functional groups, shared or of the frame, go
    before those of the file.

    An image that is not processed for presentation is read all the same, by the same rules, and
    one warning is logged: nothing undoes the detector's response, so its gray levels are not those
    that detectors are trained on.

    Args:
        path: the file.
        frame: the number of the frame, from 0; needed where there are several.

    Returns:
        (H, W) float64, larger is brighter; (H, W, 3) for a color image. Pixels that carry the
        padding value are NaN.

    Raises:
        InputError: not a readable DICOM image, its compression needs a package that is missing,
            or its transforms leave nothing of what is stored.
    """
    with open_dicom(path) as file:
        size, layout = describe_pixels(file)
        frame = choose_frame(path, frame, size.frames)
        stored = read_stored_values(file, size, layout, frame)
        if not layout.is_gray:
            return stored.astype(np.float64)
        sources = frame_sources(file.elements, frame)
        if is_for_processing(file.elements):
            _warn_for_processing(path)
        return _show(stored, layout, sources)


def read_dicom_values(path: Path, frame: int | None = None) -> tuple[np.ndarray, int]:
    """Read one frame without a loss: stored values, to be written to a file of 16 bits.

    The window or table for presentation is not applied. A rescale slope is applied only as far as
    its sign goes, since a scale changes nothing once gray levels are stretched; a modality table is
    applied. MONOCHROME1 is inverted.

    Args:
        path: the file.
        frame: as for :func:`read_dicom`.

    Returns:
        (H, W) float64 whole numbers, larger is brighter, NaN where there is only padding; or
        (H, W, 3) for a color image. And the number of bits that a value takes in the file.

    Raises:
        InputError: as :func:`read_dicom`; or values take more bits than the file states, of which
            nothing would be left but noise.
    """
    with open_dicom(path) as file:
        size, layout = describe_pixels(file)
        frame = choose_frame(path, frame, size.frames)
        # bits above those of an unsigned value are its own, unless they hold an overlay
        may_overflow = layout.is_gray and not layout.signed and not _has_overlay(file.elements)
        stored = read_stored_values(file, size, layout, frame, keep_unused_bits=may_overflow)
        if may_overflow:
            _check_bits(stored, layout, path)
        if not layout.is_gray:
            return stored.astype(np.float64), layout.bits_stored
        if is_for_processing(file.elements):
            _warn_for_processing(path)
        sources = frame_sources(file.elements, frame)
        modality = read_modality_transform(sources, signed=layout.signed)
        is_inverted = layout.photometric == "MONOCHROME1"
        values = stored.astype(np.float64)
        if isinstance(modality, Rescale):
            is_inverted ^= modality.slope < 0
        else:
            values = _apply(modality, stored)
        if is_inverted:
            values = float(sum(_value_range(layout))) - values
        values[_padding_mask(stored, sources, signed=layout.signed)] = np.nan
        return values, layout.bits_stored


def _check_bits(stored: np.ndarray, layout: PixelLayout, path: Path) -> None:
    if stored.dtype.kind == "u" and int(stored.max()) >> layout.bits_stored:
        raise InputError(
            f"DICOM file {path} has gray levels up to {stored.max()}, but its Bits Stored is "
            f"{layout.bits_stored}, which is not enough for them; leave the image out, or correct "
            "the element if you know it to be wrong"
        )


def _has_overlay(elements: Elements) -> bool:
    """Tell whether the file has an overlay, which old files keep in unused bits of the pixels."""
    return any(tag.group & 0xFF00 == 0x6000 for tag in list(elements.dataset.keys()))


def _show(stored: np.ndarray, layout: PixelLayout, sources: list[Elements]) -> np.ndarray:
    modality = read_modality_transform(sources, signed=layout.signed)
    lowest, highest = _value_range(layout)
    signed = bool(modality(np.array([lowest, highest])).min() < 0)
    voi = read_voi_transform(sources, signed=signed)

    def transform(values: np.ndarray) -> np.ndarray:
        shown = modality(values)
        shown = shown if voi is None else voi(shown)
        return -shown if layout.photometric == "MONOCHROME1" else shown

    shown = _apply(transform, stored)
    shown[_padding_mask(stored, sources, signed=layout.signed)] = np.nan
    least = _VISIBLE_DIFFERENCE if isinstance(voi, Window) else 0
    if not _differ(shown, least):
        _refuse_if_hidden(stored, shown, least, sources[-1].path)
    return shown


def _value_range(layout: PixelLayout) -> tuple[float, float]:
    """The smallest and the largest value that can be stored."""
    bits = layout.bits_stored
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if layout.signed else (0.0, 2.0**bits - 1)


def _apply(transform: Transform, stored: np.ndarray) -> np.ndarray:
    """The transform of all pixels; of up to 16 bits by a table, as it acts on single values."""
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2 or stored.size < 2**16:
        return transform(stored.astype(np.float64))
    low = int(stored.min())
    table = transform(np.arange(low, int(stored.max()) + 1, dtype=np.float64))
    return table[np.subtract(stored, low, dtype=np.int32)]


def _padding_mask(stored: np.ndarray, sources: list[Elements], *, signed: bool) -> np.ndarray:
    """(H, W) bool: pixels that only fill the frame (PS3.3 C.7.5.1.1.2)."""
    source = find_source(sources, "PixelPaddingValue")
    if source is None:
        return np.zeros(stored.shape, bool)
    value = source.word("PixelPaddingValue", signed=signed)
    assert value is not None  # as its source was found
    limit = source.word("PixelPaddingRangeLimit", signed=signed)
    # the limit lies below the value for MONOCHROME1
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)


def _differ(values: np.ndarray, least: float) -> bool:
    """Tell whether numbers, NaN aside, differ by more than ``least``, and all are finite."""
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    spread = float(high) - float(low)
    return bool(np.isfinite(spread) and spread > least)


def _refuse_if_hidden(stored: np.ndarray, shown: np.ndarray, least: float, path: Path) -> None:
    """Refuse an image that is uniform only because of its transforms and padding.

    To show such an image by its full range instead would be a guess at what the file means; a
    blank picture would be taken for one without findings.
    """
    is_pixel = np.isfinite(shown)
    if not _differ(stored, 0) or (is_pixel.any() and _differ(shown[is_pixel], least)):
        return
    raise InputError(
        f"DICOM file {path} shows nothing of its pixels, which differ: its window, rescale slope, "
        "lookup table or padding range makes them all equal; correct or remove these elements"
    )


def is_for_processing(elements: Elements) -> bool:
    """Tell whether an image is raw values of the detector, by its own word or by its class."""
    from pydicom.uid import UID

    if elements.text("PresentationIntentType").upper() == "FOR PROCESSING":
        return True
    return UID(elements.text("SOPClassUID")).name.endswith("For Processing")


@functools.cache
def _warn_for_processing(path: Path) -> None:
    logger.warning(
        "DICOM file %s is FOR PROCESSING, raw values of the detector: it is stretched to its own "
        "range as it is, which is not what detectors are trained on; use the image FOR "
        "PRESENTATION of the same view where there is one",
        path,
    )
