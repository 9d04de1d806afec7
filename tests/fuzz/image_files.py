"""Small images in all formats, as bytes, for campaigns to damage."""

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

GRAY = np.random.default_rng(0).integers(0, 256, (40, 28), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 4096, (40, 28), dtype=np.uint16)
COLOR = np.random.default_rng(2).integers(0, 256, (40, 28, 3), dtype=np.uint8)

PIXELS = 0x7FE00010
_OFFSET_TABLE = struct.pack("<HHL", 0xFFFE, 0xE000, 0)  # an empty one

_LONG = ("OB", "OW", "SQ", "UN", "UT", "OF", "OD")  # these have lengths of 4 bytes

Elements = dict[int, tuple[str, bytes]]
"""Value representation and encoded value by tag, for explicit little endian."""


def _saved(pixels: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def raster_files() -> dict[str, tuple[bytes, np.ndarray]]:
    """PNG, JPEG and TIFF files of 8 and 16 bits by name, with the pixels that went into them."""
    return {
        "gray.png": (_saved(GRAY, "PNG"), GRAY),
        "deep.png": (_saved(DEEP, "PNG"), DEEP),
        "color.png": (_saved(COLOR, "PNG"), COLOR),
        "gray.jpg": (_saved(GRAY, "JPEG"), GRAY),
        "color.jpg": (_saved(COLOR, "JPEG", progressive=True), COLOR),
        "gray.tif": (_saved(GRAY, "TIFF"), GRAY),
        "strips.tif": (_saved(GRAY, "TIFF", strip_size=28 * 7), GRAY),
        "deep.tif": (_saved(DEEP, "TIFF"), DEEP),
        "lzw.tif": (_saved(DEEP, "TIFF", compression="tiff_lzw"), DEEP),
        "color.tif": (_saved(COLOR, "TIFF", compression="tiff_adobe_deflate"), COLOR),
    }


def word(*values: int) -> bytes:
    """Unsigned numbers of 16 bits."""
    return struct.pack(f"<{len(values)}H", *values)


def item(elements: Elements) -> bytes:
    """A sequence's value of one item."""
    content = encode(elements)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def encode(elements: Elements) -> bytes:
    """A dataset in explicit little endian."""
    encoded = b""
    for tag, (vr, value) in sorted(elements.items()):
        encoded += struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")
        value = value if vr in _LONG else value[:0xFFFE]
        value += b"\0" * (len(value) % 2)
        if vr not in _LONG:
            encoded += struct.pack("<H", len(value)) + value
        else:  # fragments of compressed pixels have an undefined length
            is_compressed = vr == "OB" and value.startswith(_OFFSET_TABLE)
            encoded += struct.pack("<2xL", 0xFFFFFFFF if is_compressed else len(value)) + value
    return encoded


def dicom_file(
    elements: Elements, syntax: bytes = b"1.2.840.10008.1.2.1", *, deflated=False
) -> bytes:
    """A DICOM file with header."""
    content = encode(elements)
    if deflated:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = deflater.compress(content) + deflater.flush()
        syntax = b"1.2.840.10008.1.2.1.99"
    return bytes(128) + b"DICM" + encode({0x00020010: ("UI", syntax)}) + content


def radiograph() -> Elements:
    """List the elements that have a say in the pixels of a mammogram of 12 bits."""
    descriptor = {
        0x00283002: ("US", word(4096, 0, 16)),
        0x00283006: ("OW", word(*range(0, 8192, 2))),
    }
    return {
        0x00080016: ("UI", b"1.2.840.10008.5.1.4.1.1.1.2"),
        0x00080060: ("CS", b"MG"),
        0x00080068: ("CS", b"FOR PRESENTATION"),
        0x00280002: ("US", word(1)),
        0x00280004: ("CS", b"MONOCHROME2"),
        0x00280008: ("IS", b"1"),
        0x00280010: ("US", word(40)),
        0x00280011: ("US", word(28)),
        0x00280100: ("US", word(16)),
        0x00280101: ("US", word(12)),
        0x00280102: ("US", word(11)),
        0x00280103: ("US", word(0)),
        0x00280120: ("US", word(0)),
        0x00281050: ("DS", b"2000"),
        0x00281051: ("DS", b"3000"),
        0x00281052: ("DS", b"0"),
        0x00281053: ("DS", b"1"),
        0x00281056: ("CS", b"LINEAR"),
        0x00283010: ("SQ", item(descriptor)),
        0x52009229: (
            "SQ",
            item({0x00289145: ("SQ", item({0x00281053: ("DS", b"2"), 0x00281052: ("DS", b"5")}))}),
        ),
        PIXELS: ("OW", DEEP.tobytes()),
    }


def compressed_frame(pixels: np.ndarray, syntax: str, bits: int) -> bytes:
    """Compress a gray image with GDCM.

    Args:
        pixels: (H, W) integers of 8 or 16 bits.
        syntax: GDCM's name of the transfer syntax, such as ``JPEGLSLossless``.
        bits: those that are stored.
    """
    gdcm = pytest.importorskip("gdcm")
    writer = gdcm.ImageWriter()  # owns the image
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((pixels.shape[1], pixels.shape[0], 1))
    signed = int(pixels.dtype.kind == "i")
    image.SetPixelFormat(gdcm.PixelFormat(1, 8 * pixels.itemsize, bits, bits - 1, signed))
    gray = gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)
    image.SetPhotometricInterpretation(gray)
    plain = gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian)
    image.SetTransferSyntax(plain)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(pixels.tobytes())
    image.SetDataElement(element)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(image)
    assert change.Change(), f"GDCM cannot write {syntax}"
    fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments()
    buffer = fragments.GetFragment(0).GetByteValue().GetBuffer()
    return buffer.encode("utf-8", "surrogateescape")


SYNTAXES = {
    "JPEGBaselineProcess1": "1.2.840.10008.1.2.4.50",
    "JPEGExtendedProcess2_4": "1.2.840.10008.1.2.4.51",
    "JPEGLosslessProcess14": "1.2.840.10008.1.2.4.57",
    "JPEGLosslessProcess14_1": "1.2.840.10008.1.2.4.70",
    "JPEGLSLossless": "1.2.840.10008.1.2.4.80",
    "JPEGLSNearLossless": "1.2.840.10008.1.2.4.81",
    "JPEG2000Lossless": "1.2.840.10008.1.2.4.90",
    "JPEG2000": "1.2.840.10008.1.2.4.91",
    "RLELossless": "1.2.840.10008.1.2.5",
}
"""UIDs of the compressed transfer syntaxes by GDCM's names."""


def compressed_files() -> list[bytes]:
    """The radiograph, compressed in every way that keeps 12 bits."""
    files = []
    for name, uid in SYNTAXES.items():
        if name != "JPEGBaselineProcess1":
            frame = compressed_frame(DEEP, name, 12)
            fragment = struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame
            value = _OFFSET_TABLE + fragment + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
            files.append(dicom_file(radiograph() | {PIXELS: ("OB", value)}, uid.encode()))
    return files


_ODD_VALUES: tuple[tuple[str, bytes], ...] = (
    ("US", b""),
    ("DS", b""),
    ("LO", b"ab"),
    ("LO", b"12"),
    ("CS", b"NONSENSE"),
    ("DS", b"nan"),
    ("DS", b"1e400"),
    ("DS", b"-1"),
    ("DS", b"0"),
    ("DS", b"1\\2\\3"),
    ("IS", b"99999999999999999999"),
    ("US", word(0)),
    ("US", word(1)),
    ("US", word(39)),
    ("US", word(65535)),
    ("US", word(40, 40)),
    ("SS", word(65535)),
    ("OB", b"\xff" * 8),
    ("UN", b"\x01\x00"),
    ("SQ", b""),
    ("SQ", item({})),
    ("ZZ", b"12"),
    ("UI", b"1.2.3.not.a.uid"),
    ("FD", b"\0" * 8),
    ("AT", b"\0\0"),
)


def damage_elements(elements: Elements, random_state: random.Random) -> Elements:
    """Delete elements, or give them other values and value representations, in items as well."""
    elements = dict(elements)
    for _ in range(random_state.choice((1, 1, 2, 3))):
        tag = random_state.choice(list(elements))
        vr, value = elements[tag]
        change: Callable = random_state.choice(
            (
                lambda vr, value: None,
                lambda vr, value: (vr, b""),
                lambda vr, value: random_state.choice(_ODD_VALUES),
                lambda vr, value: (random_state.choice(_ODD_VALUES)[0], value),
                lambda vr, value: (vr, random_state.choice(_ODD_VALUES)[1]),
                lambda vr, value: (vr, value[: random_state.randrange(len(value) + 1)]),
                lambda vr, value: (vr, random_state.randbytes(random_state.choice((1, 2, 8, 300)))),
            )
        )
        changed = change(vr, value)
        elements.pop(tag)
        if changed is not None:
            elements[tag] = changed
    return elements
