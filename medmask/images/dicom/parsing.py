"""DICOM files up to their pixels: header, transfer syntax, dataset (PS3.10, PS3.5 annex A)."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from medmask.errors import InputError
from medmask.images.dicom.elements import Elements
from medmask.images.dicom.inflation import InflatedStream
from medmask.images.error_text import describe_error
from medmask.images.raster.decoding import find_decoder

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

DICOM_SUFFIXES = (".dcm", ".dicom", ".dic")
UNDEFINED_LENGTH = 0xFFFFFFFF
"""The length of a pixel element whose value is a sequence of compressed fragments."""

_MARK = b"DICM"
_MARK_OFFSET = 128
_PIXEL_KEYWORDS = {
    0x7FE00010: "PixelData",
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
}
_META_GROUP = 0x0002
_LAST_FIRST_GROUP = 0x0028  # groups ascend, and those of an image reach up to its layout
_LARGEST_ELEMENT = 64 * 2**20  # bytes; larger elements before the pixels are passed over


@dataclass(frozen=True)
class PixelElement:
    """The place of the pixels in a file.

    Attributes:
        keyword: ``PixelData``, ``FloatPixelData`` or ``DoubleFloatPixelData``.
        vr: its value representation; of two letters.
        length: bytes, or :data:`UNDEFINED_LENGTH`.
        offset: of its value in the stream.
    """

    keyword: str
    vr: str
    length: int
    offset: int


@dataclass(frozen=True)
class DicomFile:
    """An open file, read up to its pixels.

    Attributes:
        path: the file.
        elements: everything before the pixels.
        syntax: the transfer syntax; found by looking where the file does not state it.
        pixels: where the pixels are; None if there are none.
        stream: the file, inflated where it is deflated.
    """

    path: Path
    elements: Elements
    syntax: "UID"
    pixels: PixelElement | None
    stream: BinaryIO


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM: by the mark ``DICM`` at byte 128, or else by its suffix."""
    with path.open("rb") as file:
        head = file.read(_MARK_OFFSET + len(_MARK))
    if head[_MARK_OFFSET:] == _MARK:
        return True
    return path.suffix.lower() in DICOM_SUFFIXES and find_decoder(head) is None


@contextmanager
def open_dicom(path: Path) -> Iterator[DicomFile]:
    """Open a file and read it up to its pixels.

    Raises:
        InputError: the file is not DICOM, or is damaged.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise InputError(f"reading {path} needs pydicom: run 'pip install pydicom'") from error
    # what pydicom would warn of is either repaired by it or becomes an InputError
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            opened = _parse(path, file)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"DICOM file {path} cannot be read ({describe_error(error)}); it is damaged or "
                "not DICOM, copy it again"
            ) from error
        yield opened


def _parse(path: Path, file: BinaryIO) -> DicomFile:
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    read_preamble(file, force=True)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != _META_GROUP)
    syntax = _stated_syntax(Elements(path, meta)) or _guess_syntax(path, file)
    stream = file
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = cast(BinaryIO, InflatedStream(path, file))
    dataset = read_dataset(
        stream,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=lambda tag, *_: tag in _PIXEL_KEYWORDS,
        defer_size=_LARGEST_ELEMENT,
    )
    return DicomFile(path, Elements(path, dataset), syntax, _pixel_element(dataset, stream), stream)


def _stated_syntax(meta: Elements) -> "UID | None":
    from pydicom.uid import UID

    text = meta.text("TransferSyntaxUID")
    if not text:
        return None
    syntax = UID(text)
    if not syntax.is_transfer_syntax:
        raise meta.fault("TransferSyntaxUID", "is not a transfer syntax of the standard")
    return syntax


def _guess_syntax(path: Path, file: BinaryIO) -> "UID":
    """The transfer syntax by the looks of the first element, at which the file is left.

    Only uncompressed syntaxes can be told apart so; compressed pixels without a stated syntax are
    refused when they are decoded.
    """
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    start = file.tell()
    head = file.read(8)
    file.seek(start)
    if len(head) == 8:
        is_explicit = head[4:6].isalpha() and head[4:6].isupper()
        little, length = struct.unpack("<H2xL", head)
        (big,) = struct.unpack(">H", head[:2])
        if 0 < big <= _LAST_FIRST_GROUP and is_explicit:
            return ExplicitVRBigEndian
        if 0 < little <= _LAST_FIRST_GROUP and (is_explicit or length < _LARGEST_ELEMENT):
            return ExplicitVRLittleEndian if is_explicit else ImplicitVRLittleEndian
    raise InputError(
        f"DICOM file {path} cannot be read (it is empty, or does not begin like DICOM); copy it "
        "again, or give it the suffix of what it is"
    )


def _pixel_element(dataset: "Dataset", stream: BinaryIO) -> PixelElement | None:
    """The pixel element at whose tag reading stopped; None at the end of the file."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    head = stream.read(8)
    if len(head) < 8:
        return None
    group, element, length = struct.unpack(f"{order}HHL", head)
    keyword = _PIXEL_KEYWORDS.get(group << 16 | element)
    if keyword is None:
        return None
    vr = "OW"
    if not implicit:
        vr = head[4:6].decode("latin-1")
        length = struct.unpack(f"{order}L", stream.read(4))[0]
    return PixelElement(keyword, vr, length, stream.tell())
