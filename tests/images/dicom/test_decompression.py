import struct

import numpy as np
import pytest
from image_files import DEEP, PIXELS, SYNTAXES, compressed_frame, dicom_file, radiograph, word

from medmask.errors import InputError
from medmask.images import count_frames, read_image
from medmask.images.dicom import read_dicom
from medmask.images.dicom.decompression import codestream_size

EXACT = [name for name in SYNTAXES if not name.startswith(("JPEGBaseline", "JPEGExtended"))]
JPEG = [name for name in SYNTAXES if name.startswith(("JPEGB", "JPEGE", "JPEGLossless"))]
PLAIN = (0x00280120, 0x00281050, 0x00281052, 0x00281053, 0x00283010, 0x52009229)


@pytest.fixture
def write(tmp_path):
    """Writes frames of compressed data, described as (40, 28) pixels without transforms."""

    def write(syntax: str, *frames: bytes, bits: int = 12, signed: bool = False, **changes):
        value = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
        for frame in frames:
            frame += bytes(len(frame) % 2)
            value += struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame
        value += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        elements = {tag: value for tag, value in radiograph().items() if tag not in PLAIN}
        elements |= {
            0x00280100: ("US", word(8 if bits <= 8 else 16)),
            0x00280101: ("US", word(bits)),
            0x00280102: ("US", word(bits - 1)),
            0x00280103: ("US", word(int(signed))),
            PIXELS: ("OB", value),
        }
        elements |= {int(tag[1:], 16): value for tag, value in changes.items()}
        path = tmp_path / f"{syntax}.dcm"
        path.write_bytes(dicom_file(elements, SYNTAXES[syntax].encode()))
        return path

    return write


def pixels_of(bits: int, signed: bool = False) -> np.ndarray:
    values = DEEP.astype(int) << 4 >> 16 - bits
    values -= 2 ** (bits - 1) if signed else 0
    return values.astype(np.uint8 if bits <= 8 else np.int16 if signed else np.uint16)


@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (12, True)])
@pytest.mark.parametrize("syntax", EXACT)
def test_lossless_syntaxes(write, syntax, bits, signed):
    if syntax.startswith("JPEG2000"):
        pytest.importorskip("openjpeg")
    pixels = pixels_of(bits, signed)
    frame = compressed_frame(pixels, syntax, bits)
    np.testing.assert_array_equal(
        read_dicom(write(syntax, frame, bits=bits, signed=signed)), pixels
    )


@pytest.mark.parametrize(
    ("syntax", "bits"), [("JPEGBaselineProcess1", 8), ("JPEGExtendedProcess2_4", 12)]
)
def test_lossy_syntaxes(write, syntax, bits):
    ramp = np.add.outer(np.arange(40), np.arange(28)) * 2**bits // 70
    pixels = ramp.astype(pixels_of(bits).dtype)
    difference = read_dicom(write(syntax, compressed_frame(pixels, syntax, bits), bits=bits)) - ramp
    assert np.abs(difference).max() < 2**bits / 30


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_data_of_another_size_are_refused(write, syntax):
    bits = 8 if syntax == "JPEGBaselineProcess1" else 12
    frame = compressed_frame(pixels_of(bits), syntax, bits)
    for changes in ({"x00280010": ("US", word(20))}, {"x00280011": ("US", word(56))}):
        with pytest.raises(InputError, match=rf"{syntax}\.dcm"):
            read_image(write(syntax, frame, bits=bits, **changes))


@pytest.mark.parametrize("syntax", JPEG)
def test_missing_rows_are_refused(write, syntax):
    """The decoder would go on with gray where the data end before the last row."""
    bits = 8 if syntax == "JPEGBaselineProcess1" else 12
    frame = bytearray(compressed_frame(pixels_of(bits), syntax, bits))
    start = next(
        i for i in range(len(frame)) if frame[i] == 0xFF and frame[i + 1] in (0xC0, 0xC1, 0xC3)
    )
    frame[start + 5 : start + 7] = (80).to_bytes(2, "big")
    assert codestream_size(bytes(frame)) == (80, 28)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(write(syntax, bytes(frame), bits=bits, x00280010=("US", word(80))))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_cut_data_are_refused(write, syntax):
    bits = 8 if syntax == "JPEGBaselineProcess1" else 12
    frame = compressed_frame(pixels_of(bits), syntax, bits)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(write(syntax, frame[: len(frame) // 2], bits=bits))


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14_1", "JPEG2000Lossless", "RLELossless"])
def test_other_numbers_of_frames_are_refused(write, syntax):
    frame = compressed_frame(DEEP, syntax, 12)
    with pytest.raises(InputError, match="holds 2 compressed frames"):
        read_image(write(syntax, frame, frame))
    with pytest.raises(InputError, match="Number of Frames is 90000000"):
        count_frames(write(syntax, frame, x00280008=("IS", b"90000000")))
    two = write(syntax, frame, frame, x00280008=("IS", b"2"))
    np.testing.assert_array_equal(read_image(two, 1), read_image(two, 0))
