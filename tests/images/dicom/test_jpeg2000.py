"""Damaged codestreams, most of which decoders turn into wrong pixels without a word."""

import io
import struct

import numpy as np
import pytest
from image_files import DEEP, PIXELS, SYNTAXES, compressed_frame, dicom_file, radiograph, word
from PIL import Image, features

from medmask.errors import InputError
from medmask.images.dicom import read_dicom
from medmask.images.dicom.decompression import codestream_size
from medmask.images.dicom.jpeg2000 import damage_of_codestream, find_codestream

pytestmark = pytest.mark.skipif(
    not features.check("jpg_2000"), reason="Pillow is built without JPEG 2000"
)
SHAPE = (90, 70)
END = b"\xff\xd9"


def encode(**options) -> bytes:
    """A codestream of noise; ``tile_size`` makes several tiles."""
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", no_jp2=True, **options)
    return file.getvalue()


def tile_parts(data: bytes) -> list[int]:
    """Where the tile-parts of a codestream begin, and its end."""
    starts = [data.index(b"\xff\x90\0\x0a")]
    while data[starts[-1] : starts[-1] + 2] != END:
        (length,) = struct.unpack_from(">L", data, starts[-1] + 6)
        starts.append(starts[-1] + length)
    return starts


WHOLE, TILES = encode(), encode(tile_size=(40, 40))
FIRST, SECOND, *_, LAST, AFTER = tile_parts(TILES)
TAIL = len(WHOLE) // 3


def with_length(data: bytes, length: int) -> bytes:
    """Let the only tile-part tell another length; 0 stands for all that is left."""
    place = tile_parts(data)[0] + 6
    return data[:place] + struct.pack(">L", length) + data[place + 4 :]


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        WHOLE + bytes(5),
        TILES,
        with_length(WHOLE, 0),
        encode(quality_layers=[40, 20], irreversible=True, progression="RPCL"),
        b"no codestream",
        b"",
    ],
    ids=["one tile", "filled up", "tiles", "length not told", "layers", "none", "nothing"],
)
def test_sound_data(data):
    assert damage_of_codestream(data) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (WHOLE[:-2], "cut off"),
        (WHOLE[:-TAIL], "cut off"),
        (WHOLE[: -TAIL - 2] + END, "cut off"),
        (with_length(WHOLE, 0)[:-TAIL], "cut off"),
        (WHOLE[:40], "cut off"),
        (WHOLE[:-TAIL] + bytes(TAIL), "cut off"),
        (TILES[:LAST] + END, "tiles of the JPEG 2000 data are missing"),
        (TILES[:FIRST] + TILES[SECOND:], "are missing"),
        (TILES[:FIRST] + TILES[FIRST:SECOND] + TILES[FIRST:], "are missing"),
        (TILES[:FIRST] + END, "header of the JPEG 2000 data is damaged"),
        (TILES[: SECOND + 12] + b"ab" + TILES[SECOND + 14 :], "a tile of the JPEG 2000 data"),
        (WHOLE[:-TAIL] + b"\xff\xee" * 4 + WHOLE[8 - TAIL :], "data are damaged"),
    ],
    ids=[
        "no end",
        "cut",
        "cut with an end",
        "cut, length not told",
        "cut in the header",
        "zeros at the end",
        "last tile",
        "first tile",
        "a tile twice",
        "no tile",
        "no data of a tile",
        "other bytes",
    ],
)
def test_damage_is_told(data, words):
    assert words in damage_of_codestream(data)


def test_missing_tiles_of_a_file_are_refused(tmp_path):
    pytest.importorskip("openjpeg")

    def write(data: bytes):
        data += bytes(len(data) % 2)
        value = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
        value += struct.pack("<HHL", 0xFFFE, 0xE000, len(data)) + data
        changes = {
            0x00280010: ("US", word(SHAPE[0])),
            0x00280011: ("US", word(SHAPE[1])),
            0x00280100: ("US", word(8)),
            0x00280101: ("US", word(8)),
            0x00280102: ("US", word(7)),
            PIXELS: ("OB", value + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)),
        }
        path = tmp_path / "scan.dcm"
        uid = SYNTAXES["JPEG2000"].encode()
        path.write_bytes(dicom_file(radiograph() | changes, uid))
        return path

    assert read_dicom(write(TILES)).shape == SHAPE
    with pytest.raises(InputError, match=r"scan\.dcm cannot be decoded \(tiles .* are missing\)"):
        read_dicom(write(TILES[:LAST] + END))
    with pytest.raises(InputError, match="do not begin with a codestream or as JP2"):
        read_dicom(write(b"\r\n\x87\n" + TILES))


def test_data_of_other_encoders_are_sound():
    for syntax in ("JPEG2000Lossless", "JPEG2000"):
        assert damage_of_codestream(compressed_frame(DEEP, syntax, 12)) is None


@pytest.mark.parametrize("is_long", [False, True], ids=["length", "long length"])
def test_codestream_behind_long_boxes(is_long):
    """As JP2 with a color profile has it; its size and its damage are looked at all the same."""

    def box(kind: bytes, content: bytes) -> bytes:
        if is_long:
            return struct.pack(">L4sQ", 1, kind, 16 + len(content)) + content
        return struct.pack(">L4s", 8 + len(content), kind) + content

    start = b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 ") + box(b"jp2h", bytes(3000))
    data = start + box(b"jp2c", TILES)
    assert data[find_codestream(data) :] == TILES
    assert codestream_size(data) == SHAPE
    assert damage_of_codestream(data) is None
    assert "missing" in damage_of_codestream(start + box(b"jp2c", TILES[:LAST] + END))
    for cut in (len(start), len(start) + 3, 20, 12):
        assert find_codestream(data[:cut]) == -1
