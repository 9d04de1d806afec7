"""Compressed frames of DICOM files (PS3.5 8.2 and annex A.4)."""

import re
import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from medmask.errors import InputError
from medmask.images.dicom.description import FrameSize, PixelLayout
from medmask.images.dicom.jpeg2000 import damage_of_codestream, find_codestream
from medmask.images.dicom.parsing import DicomFile
from medmask.images.error_text import describe_error
from medmask.images.raster.jpeg import hold_back_end

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

PACKAGES = "pylibjpeg pylibjpeg-openjpeg python-gdcm"
"""Packages that decode all compressed transfer syntaxes of radiographs (``pip install``)."""

_PLUGINS = ("pydicom", "pylibjpeg", "gdcm", "pillow")  # in the order in which they are preferred


def decompress_frame(
    file: DicomFile, size: FrameSize, layout: PixelLayout, frame: int, options: dict[str, Any]
) -> np.ndarray:
    """Decode one compressed frame.

    Args:
        file: the file.
        size: of its frames.
        layout: of its pixels.
        frame: the number of the frame, from 0.
        options: the image's description for pydicom's decoders.

    Returns:
        (H, W) or (H, W, 3), of the type in which the file stores them.

    Raises:
        InputError: no decoder is installed, or the data are those of an image of another size.
        Exception: whatever a decoder raises.
    """
    from pydicom.encaps import encapsulate, get_frame
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGExtended12Bit, JPEGTransferSyntaxes

    assert file.pixels is not None
    decoder = _find_decoder(file)
    file.stream.seek(file.pixels.offset)
    data = get_frame(file.stream, frame, number_of_frames=size.frames, **_offset_table(file))
    if file.syntax in JPEG2000TransferSyntaxes and find_codestream(data) < 0:
        raise ValueError("the JPEG 2000 data do not begin with a codestream or as JP2")
    _check_codestream_size(file, size, data)
    damage = damage_of_codestream(data)
    if damage is not None:
        raise ValueError(damage)
    plugin = next((p for p in _PLUGINS if p in decoder.available_plugins), "")
    if plugin == "gdcm" and file.syntax in JPEGTransferSyntaxes:
        data = hold_back_end(data)[0]
        if file.syntax == JPEGExtended12Bit and layout.bits_stored > 8:
            return _decode_extended(data, size, layout)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels, _ = decoder.as_array(
            encapsulate([data]),
            index=0,
            decoding_plugin=plugin,
            **options | {"number_of_frames": 1},
        )
    _check_run_lengths(file, size, [str(warning.message) for warning in caught])
    return pixels


def _find_decoder(file: DicomFile) -> "Decoder":
    from pydicom.pixels import get_decoder

    try:
        decoder = get_decoder(file.syntax)
    except NotImplementedError as error:
        raise InputError(
            f"DICOM file {file.path} uses the transfer syntax {file.syntax.name}, which pydicom "
            "does not decode; convert the file, for example by 'gdcmconv --raw'"
        ) from error
    if not decoder.is_available:
        raise InputError(
            f"DICOM file {file.path} is compressed ({file.syntax.name}) and the package to decode "
            f"it is missing: run 'pip install {PACKAGES}'"
        )
    return decoder


def _offset_table(file: DicomFile) -> dict[str, Any]:
    """The extended offset table, where the file has one."""
    keywords = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    if not file.elements.has(*keywords):
        return {}
    return {"extended_offsets": tuple(file.elements.value(keyword) for keyword in keywords)}


def check_number_of_frames(file: DicomFile, size: FrameSize) -> None:
    """Refuse a file that holds more compressed frames than it states, or fewer.

    Raises:
        InputError: it does.
    """
    from pydicom.encaps import parse_basic_offsets, parse_fragments
    from pydicom.uid import RLELossless

    assert file.pixels is not None
    try:
        file.stream.seek(file.pixels.offset)
        starts = len(parse_basic_offsets(file.stream))
        fragments, positions = parse_fragments(file.stream)
    except Exception as error:
        raise InputError(
            f"the pixels of DICOM file {file.path} cannot be decoded ({describe_error(error)}); "
            "copy the file again"
        ) from error
    if file.syntax == RLELossless:
        starts = fragments  # one for each frame (PS3.5 A.4.2)
    elif not starts and fragments > size.frames:
        starts = sum(_begins_codestream(file, position) for position in positions)
    if starts > size.frames or fragments < size.frames:
        raise InputError(
            f"DICOM file {file.path} holds {starts or fragments} compressed frames, but its Number "
            f"of Frames is {size.frames}; export the image again"
        )


def _begins_codestream(file: DicomFile, position: int) -> bool:
    file.stream.seek(position + 8)
    return file.stream.read(3) in (b"\xff\xd8\xff", b"\xff\x4f\xff")


def _check_codestream_size(file: DicomFile, size: FrameSize, data: bytes) -> None:
    """Compare what the compressed data say with what the file says; decoders may not."""
    found = codestream_size(data)
    if found is not None and found != (size.rows, size.columns):
        raise InputError(
            f"DICOM file {file.path} holds compressed pixels of an image of {found[0]} x "
            f"{found[1]}, but its Rows and Columns are {size.rows} x {size.columns}; export the "
            "image again"
        )


def _check_run_lengths(file: DicomFile, size: FrameSize, said: list[str]) -> None:
    """Refuse RLE data of more rows than the image has, of which pydicom only warns."""
    for text in said:
        lengths = re.search(r"(\d+) vs\.? (\d+) bytes", text)
        if lengths and int(lengths[1]) - int(lengths[2]) >= size.columns:
            raise InputError(
                f"DICOM file {file.path} holds compressed pixels of more than {size.rows} x "
                f"{size.columns}, its Rows and Columns; export the image again"
            )


def codestream_size(data: bytes) -> tuple[int, int] | None:
    """Read (height, width) from JPEG, JPEG-LS or JPEG 2000 data.

    Args:
        data: a codestream (ITU-T T.81 B.2, T.87 C.2, T.800 A.5).

    Returns:
        The size, or None where it is not stated.
    """
    start = find_codestream(data)
    if start >= 0 and len(data) >= start + 24:
        width, height, left, top = struct.unpack_from(">4L", data, start + 8)
        return height - top, width - left
    position = 2
    while data[:2] == b"\xff\xd8" and position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack_from(">2H", data, position + 5)
            return (height, width) if height else None
        else:
            position += 2 + length
    return None


def _decode_extended(data: bytes, size: FrameSize, layout: PixelLayout) -> np.ndarray:
    """Decode JPEG Extended of more than 8 bits, for which pydicom does not use GDCM.

    GDCM decodes it all the same; its values differ by at most 1 from those of other decoders,
    as inverse cosine transforms may.
    """
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((size.columns, size.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(layout.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax = gdcm.TransferSyntax.JPEGExtendedProcess2_4
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    bits = layout.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(layout.samples, 16, bits, bits - 1, int(layout.signed)))
    buffer = image.GetBuffer()  # a char*, which comes as a str
    if buffer is None:
        raise ValueError("the compressed data are damaged")
    encoded = buffer.encode("utf-8", "surrogateescape")
    pixels = np.frombuffer(encoded, "<i2" if layout.signed else "<u2")
    shape = (size.rows, size.columns)
    return pixels.reshape(shape if layout.samples == 1 else (*shape, layout.samples))
