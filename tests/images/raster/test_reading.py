import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from medmask.errors import InputError
from medmask.images import count_frames, read_image, read_image_size, stretch_to_255
from medmask.images import limits as image_limits

GRAY = np.random.default_rng(0).integers(0, 256, (40, 28), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (40, 28), dtype=np.uint16)
COLOR = np.random.default_rng(2).integers(0, 256, (40, 28, 3), dtype=np.uint8)
DEEP_COLOR = np.random.default_rng(3).integers(0, 65536, (40, 28, 3), dtype=np.uint16)
LZW_STRIPS = {"compression": "tiff_lzw", "strip_size": 28 * 8}
TURNS = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}


def form(pixels: np.ndarray) -> np.ndarray:
    """The pixels as read_image gives them."""
    pixels = pixels if pixels.dtype == np.uint8 else stretch_to_255(pixels)
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)


def save(path, pixels: np.ndarray, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("pixels", [GRAY, DEEP, COLOR], ids=["gray", "deep", "color"])
def test_tiff_is_turned(tmp_path, pixels, compression, orientation):
    options = {"compression": compression, "tiffinfo": {274: orientation}}
    path = save(tmp_path / "scan.tif", pixels, **options)
    image = read_image(path)
    np.testing.assert_allclose(image, form(TURNS[orientation](pixels)), atol=1e-3)
    assert read_image_size(path) == image.shape[:2]


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("pixels", [GRAY, DEEP], ids=["gray", "deep"])
def test_png_is_turned_by_exif_before_or_behind_the_pixels(tmp_path, pixels, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / "scan.png", pixels, exif=exif)
    content = path.read_bytes()
    chunks = split_chunks(content)
    behind = [c for c in chunks if c[4:8] != b"eXIf"]
    behind.insert(-1, next(c for c in chunks if c[4:8] == b"eXIf"))
    for order in (chunks, behind):
        path.write_bytes(content[:8] + b"".join(order))
        image = read_image(path)
        np.testing.assert_allclose(image, form(TURNS[orientation](pixels)), atol=1e-3)
        assert read_image_size(path) == image.shape[:2]


@pytest.mark.parametrize("orientation", TURNS)
def test_deep_color_is_turned(tmp_path, orientation):
    path = tmp_path / "scan.tif"
    cv2.imwrite(str(path), DEEP_COLOR[:, :, ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    if orientation != 1:
        add_orientation(path, orientation)
    image = read_image(path)
    np.testing.assert_allclose(image, form(TURNS[orientation](DEEP_COLOR)), atol=1e-3)
    assert read_image_size(path) == image.shape[:2]


def add_orientation(path, orientation: int) -> None:
    """Put an orientation in the place of a tag that says nothing about the pixels."""
    content = path.read_bytes()
    (start,) = struct.unpack_from("<L", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    entries = [content[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    entries.append(struct.pack("<HHLHxx", 274, 3, 1, orientation))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    directory = struct.pack("<H", count + 1) + b"".join(entries) + bytes(4)
    moved = content[:4] + struct.pack("<L", len(content)) + content[8:]
    path.write_bytes(moved + directory)


def split_chunks(content: bytes) -> list[bytes]:
    chunks, position = [], 8
    while position < len(content):
        end = position + 12 + int.from_bytes(content[position : position + 4], "big")
        chunks.append(content[position:end])
        position = end
    return chunks


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", checksum)


def with_size(png: bytes, height: int, width: int) -> bytes:
    """The PNG file with another size in its header, and the right checksum."""
    chunks = split_chunks(png)
    chunks[0] = chunk(b"IHDR", struct.pack(">LL", width, height) + chunks[0][16:21])
    return png[:8] + b"".join(chunks)


@pytest.mark.parametrize("rows", [41, 44, 80, 400])
@pytest.mark.parametrize(
    "pixels", [GRAY, DEEP, COLOR, DEEP_COLOR], ids=["gray", "deep", "color", "deep_color"]
)
def test_png_with_fewer_rows_than_promised(tmp_path, pixels, rows):
    path = tmp_path / "scan.png"
    cv2.imwrite(str(path), pixels)
    path.write_bytes(with_size(path.read_bytes(), rows, 28))
    with pytest.raises(InputError, match=r"scan\.png cannot be read \(it holds fewer pixels"):
        read_image(path)


def test_png_may_be_cut_into_chunks_anywhere(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (5, 7), dtype=np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path)
    head, data, end = split_chunks(path.read_bytes())
    data = data[8:-4]
    for at in range(len(data) + 1):
        parts = chunk(b"IDAT", data[:at]) + chunk(b"IDAT", data[at:])
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + parts + end)
        np.testing.assert_array_equal(read_image(path)[:, :, 0], pixels)


@pytest.mark.parametrize("size", [(1, 28), (39, 28), (40, 27), (80, 14)])
@pytest.mark.parametrize("pixels", [GRAY, DEEP, COLOR], ids=["gray", "deep", "color"])
def test_png_with_more_rows_than_stated(tmp_path, pixels, size):
    path = save(tmp_path / "scan.png", pixels)
    path.write_bytes(with_size(path.read_bytes(), *size))
    with pytest.raises(InputError, match=r"scan\.png cannot be read"):
        read_image(path)


@pytest.mark.parametrize("rows", [8, 9, 40])
@pytest.mark.parametrize("promised", [0, 3])
def test_interlaced_png(tmp_path, rows, promised):
    """Written pass by pass, as nothing here writes it otherwise (ISO/IEC 15948, 8.2)."""
    pixels = GRAY[:rows, :20]
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    passes.append((1, 0, 2, 1))
    lines = [line for y, x, dy, dx in passes for line in pixels[y::dy, x::dx] if line.size]
    data = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    header = struct.pack(">LLBBBBB", 20, rows + promised, 8, 0, 0, 0, 1)
    path = tmp_path / "scan.png"
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    if promised:
        with pytest.raises(InputError, match=r"scan\.png cannot be read"):
            read_image(path)
    else:
        np.testing.assert_array_equal(read_image(path), form(pixels))


@pytest.mark.parametrize("value", [85, 170])
def test_pixels_that_equal_a_mark_are_no_missing_pixels(tmp_path, value):
    for name in ("scan.png", "scan.tif", "scan.jpg"):
        path = save(tmp_path / name, np.full((16, 8), value, np.uint8))
        assert (read_image(path) == value).all()


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16"])
def test_png_of_other_modes(tmp_path, mode):
    image = Image.fromarray(DEEP) if mode == "I;16" else Image.fromarray(COLOR).convert(mode)
    image.save(tmp_path / "scan.png")
    expected = form(DEEP) if mode == "I;16" else np.asarray(image.convert("RGB"))
    np.testing.assert_allclose(read_image(tmp_path / "scan.png"), expected, atol=1e-3)


@pytest.mark.parametrize("promised", [48, 57, 80])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("pixels", [GRAY, COLOR], ids=["gray", "color"])
def test_jpeg_with_fewer_rows_than_promised(tmp_path, pixels, progressive, promised):
    path = tmp_path / "scan.jpg"
    black_below = pixels * (np.arange(40) < 20).reshape(-1, *[1] * (pixels.ndim - 1))
    for content in (pixels, black_below.astype(np.uint8)):
        save(path, content, progressive=progressive, subsampling=0)
        np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))
        data = bytearray(path.read_bytes())
        start = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
        data[start + 5 : start + 7] = promised.to_bytes(2, "big")
        path.write_bytes(data)
        with pytest.raises(InputError, match="it holds fewer pixels"):
            read_image(path)


@pytest.mark.parametrize("between", [b"", b"x"], ids=["sound", "with a byte between"])
def test_jpeg_of_very_many_scans(tmp_path, between):
    """Each scan is a pass over all pixels, so that a small file could take hours."""
    path = save(tmp_path / "scan.jpg", GRAY, progressive=True)
    content = path.read_bytes()
    last = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + last * 5 + content[-2:])
    assert read_image(path).shape == (*GRAY.shape, 3)
    path.write_bytes(content[:-2] + between + last * 200 + content[-2:])
    with pytest.raises(InputError, match=r"scan\.jpg cannot be read \(it has 20\d scans, "):
        read_image(path)


@pytest.mark.parametrize("rows", [20, 44, 80])
@pytest.mark.parametrize(
    "options", [{}, {"strip_size": 28 * 8}, {"compression": "tiff_lzw"}, LZW_STRIPS]
)
def test_tiff_of_other_rows_than_promised(tmp_path, options, rows):
    if rows == 20 and "strip_size" not in options and "compression" in options:
        pytest.skip("what a compressed strip holds is not known before it is decoded")
    path = save(tmp_path / "scan.tif", GRAY, **options)
    content = bytearray(path.read_bytes())
    entry = content.index(struct.pack("<H", 257), struct.unpack_from("<L", content, 4)[0])
    content[entry : entry + 12] = struct.pack("<HHLL", 257, 4, 1, rows)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.tif cannot be read"):
        read_image(path)


def test_flipped_bits_in_the_pixels_of_a_png_are_noticed(tmp_path):
    path = save(tmp_path / "scan.png", GRAY)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 600] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum of its chunk IDAT is wrong"):
        read_image(path)


def test_pages_of_a_tiff_are_frames(tmp_path):
    pages = [Image.fromarray(GRAY), Image.fromarray(DEEP), Image.fromarray(COLOR[:20])]
    path = tmp_path / "scan.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert count_frames(path) == 3
    for frame, page in enumerate([GRAY, DEEP, COLOR[:20]]):
        np.testing.assert_allclose(read_image(f"{path}#{frame}"), form(page), atol=1e-3)
        assert read_image_size(path, frame) == page.shape[:2]
    for read in (read_image, read_image_size):
        with pytest.raises(InputError, match=r"scan\.tif holds 3 frames"):
            read(path)
        with pytest.raises(InputError, match="has no frame 3"):
            read(path, 3)


def test_animation_is_refused(tmp_path):
    path = tmp_path / "scan.png"
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="animation"):
        read_image(path)


@pytest.mark.parametrize("kind", ["EPS", "GIF", "BMP", "WEBP", "PPM", "JPEG2000"])
@pytest.mark.parametrize("read", [read_image, read_image_size, count_frames])
def test_other_formats_are_refused_whatever_their_name(tmp_path, monkeypatch, read, kind):
    monkeypatch.setattr(Image, "open", None)  # asks whoever feels responsible
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, kind)
    path = tmp_path / "scan.png"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match=r"scan\.png cannot be read \(it is not a PNG, JPEG"):
        read(path)


def test_contents_go_before_the_name(tmp_path):
    path = save(tmp_path / "scan.png", GRAY).rename(tmp_path / "scan.jpg")
    np.testing.assert_array_equal(read_image(path), form(GRAY))


def test_size_of_a_png_is_read_without_its_pixels(tmp_path, monkeypatch):
    path = save(tmp_path / "scan.png", GRAY)
    monkeypatch.setattr("medmask.images.raster.png.PngDecoder.load", None)
    assert read_image_size(path) == (40, 28)


@pytest.mark.parametrize("read", [read_image, read_image_size])
def test_limit_is_checked_before_decoding(tmp_path, monkeypatch, read, write_dicom):
    monkeypatch.setattr("medmask.images.raster.png.PngDecoder.load", None)
    png = save(tmp_path / "scan.png", GRAY)
    png.write_bytes(with_size(png.read_bytes(), 13000, 13000))
    dicom = write_dicom(np.zeros((1, 1), np.uint8), Rows=13000, Columns=13000)
    for path in (png, dicom):
        with pytest.raises(InputError, match=r"13000 x 13000 pixels is larger than the limit"):
            read(path)


def test_limit_is_set_by_the_environment(tmp_path, monkeypatch):
    paths = [save(tmp_path / f"scan.{suffix}", GRAY) for suffix in ("png", "jpg", "tif")]
    assert image_limits.MAX_IMAGE_PIXELS >= 6000 * 8000
    monkeypatch.setenv("MEDMASK_MAX_IMAGE_PIXELS", str(40 * 28))
    for path in paths:
        assert read_image(path).shape == (40, 28, 3)
    monkeypatch.setenv("MEDMASK_MAX_IMAGE_PIXELS", str(40 * 28 - 1))
    for path in paths:
        with pytest.raises(InputError, match=r"scan\.\w+ of 40 x 28 pixels .*MEDMASK_MAX"):
            read_image(path)
    for faulty in ("0", "-1", "many", "1e9", "٣"):
        monkeypatch.setenv("MEDMASK_MAX_IMAGE_PIXELS", faulty)
        with pytest.raises(InputError, match=r"MEDMASK_MAX_IMAGE_PIXELS is .* positive whole"):
            read_image(paths[0])


@pytest.mark.parametrize("read", [read_image, read_image_size, count_frames])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    kinds = {"pipe": "pipe", "folder": "folder", "link": "does not exist", "device": "device"}
    for name, reason in kinds.items():
        with pytest.raises(InputError, match=rf"{name}\.png .*{reason}"):
            read(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / ("x" * 300 + ".png"))


@pytest.mark.parametrize("name", ["Röntgen 左.png", "a#1.png", "x" * 250 + ".png", "new\nline.png"])
def test_names_of_all_kinds(tmp_path, name):
    path = save(tmp_path / name, GRAY)
    np.testing.assert_array_equal(read_image(path), form(GRAY))
    np.testing.assert_array_equal(read_image(f"{path}#0"), form(GRAY))
