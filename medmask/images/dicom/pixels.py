"""The stored values of one frame of a DICOM file (PS3.5 chapter 8, PS3.3 C.7.6.3)."""

import os
from typing import Any

import numpy as np

from medmask.errors import InputError
from medmask.images.dicom.decompression import check_number_of_frames, decompress_frame
from medmask.images.dicom.description import FrameSize, PixelLayout
from medmask.images.dicom.inflation import InflatedStream
from medmask.images.dicom.parsing import UNDEFINED_LENGTH, DicomFile, PixelElement
from medmask.images.error_text import describe_error


def read_stored_values(
    file: DicomFile,
    size: FrameSize,
    layout: PixelLayout,
    frame: int,
    *,
    keep_unused_bits: bool = False,
) -> np.ndarray:
    """Read one frame, and no other.

    Bits above Bits Stored are ignored; colors are converted to RGB.

    Args:
        file: the file, of which :func:`check_pixel_data` approves.
        size: of its frames.
        layout: of its pixels.
        frame: the number of the frame, from 0.
        keep_unused_bits: leave bits above Bits Stored in the values.

    Returns:
        (H, W) or (H, W, 3), of the type in which the file stores them.

    Raises:
        InputError: the pixels cannot be decoded.
    """
    assert file.pixels is not None
    options = _decoding_options(file.pixels, size, layout)
    options["correct_unused_bits"] = not keep_unused_bits
    try:
        if file.syntax.is_encapsulated:
            return decompress_frame(file, size, layout, frame, options)
        return _read_native(file, file.pixels, frame, options)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the pixels of DICOM file {file.path} cannot be decoded ({describe_error(error)}); "
            "copy the file again"
        ) from error


def check_pixel_data(file: DicomFile, size: FrameSize, layout: PixelLayout) -> None:
    """Compare the amount of pixel data with what the header says, without decoding any.

    Raises:
        InputError: the pixels are missing, are too few or too many, or it is not said how they
            are compressed.
    """
    if file.pixels is None:
        raise InputError(
            f"DICOM file {file.path} has no pixel data; it may be cut off, copy it again"
        )
    if (file.pixels.length == UNDEFINED_LENGTH) != file.syntax.is_encapsulated:
        raise InputError(
            f"DICOM file {file.path} does not say how its pixels are compressed (its transfer "
            f"syntax is {file.syntax.name}); export it again with a complete header"
        )
    if file.syntax.is_encapsulated:
        check_number_of_frames(file, size)
    else:
        _check_length(file, file.pixels, size, layout)


def _decoding_options(pixels: PixelElement, size: FrameSize, layout: PixelLayout) -> dict[str, Any]:
    return {
        "rows": size.rows,
        "columns": size.columns,
        "number_of_frames": size.frames,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "planar_configuration": int(layout.planar),
        "pixel_keyword": pixels.keyword,
        "pixel_vr": pixels.vr,
    }


def _read_native(
    file: DicomFile, pixels: PixelElement, frame: int, options: dict[str, Any]
) -> np.ndarray:
    from pydicom.pixels import get_decoder

    if isinstance(file.stream, InflatedStream):
        file.stream.limit = pixels.offset + pixels.length
    file.stream.seek(pixels.offset)
    values, _ = get_decoder(file.syntax).as_array(file.stream, index=frame, **options)
    return values


def _check_length(
    file: DicomFile, pixels: PixelElement, size: FrameSize, layout: PixelLayout
) -> None:
    """Compare the length of the data with the size of the image.

    Some writers fill the data up; but data for another row of pixels mean that Rows, Columns or
    Number of Frames are wrong, and the picture would be a part of the image, or scrambled.
    """
    samples = 2 if layout.photometric == "YBR_FULL_422" else layout.samples
    row_bits = size.columns * samples * layout.bits_allocated
    needed = -(-size.frames * size.rows * row_bits // 8)
    if not isinstance(file.stream, InflatedStream):
        present = os.path.getsize(file.path) - pixels.offset
        if present < pixels.length:
            raise InputError(
                f"DICOM file {file.path} is cut off: of the {pixels.length} bytes of its pixels it "
                f"holds {present}; copy it again"
            )
    if needed <= pixels.length <= needed + max(1, row_bits // 8 - 1):
        return
    raise InputError(
        f"DICOM file {file.path} holds {pixels.length} bytes of pixels, but {size.frames} "
        f"frame(s) of {size.rows} x {size.columns} pixels take {needed}: Rows, Columns, Number of "
        "Frames or Bits Allocated are wrong, or the file is cut off; export the image again"
    )
