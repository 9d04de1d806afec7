import zlib

import numpy as np
import pydicom
import pytest
from image_files import DEEP, dicom_file, encode, radiograph
from image_files import PIXELS as PIXEL_DATA
from isolation import assert_refused, call
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medmask.errors import InputError
from medmask.images import read_image, read_image_size

PIXELS = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)


def stretched(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.min()) * 255 / (values.max() - values.min())


@pytest.fixture
def rewrite(write_dicom, tmp_path):
    """Writes the pixels in another transfer syntax, with or without a header."""

    def rewrite(syntax, *, header=True):
        original = pydicom.dcmread(write_dicom(PIXELS))
        dataset = pydicom.Dataset()
        dataset.update(original)
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = PIXELS.astype(">u2").tobytes()
        if header:
            dataset.file_meta = original.file_meta
            dataset.file_meta.TransferSyntaxUID = syntax
        path = tmp_path / "rewritten.dcm"
        options = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
        pydicom.dcmwrite(path, dataset, enforce_file_format=header, **options)
        return path

    return rewrite


SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_uncompressed_syntaxes(rewrite, syntax, header):
    path = rewrite(syntax, header=header)
    assert (b"DICM" in path.read_bytes()[:132]) == header
    np.testing.assert_allclose(read_image(path)[:, :, 0], stretched(PIXELS), atol=1e-3)
    assert read_image_size(path) == (20, 30)


def test_deflated(rewrite):
    image = read_image(rewrite(DeflatedExplicitVRLittleEndian))
    np.testing.assert_allclose(image[:, :, 0], stretched(PIXELS), atol=1e-3)


@pytest.mark.parametrize("syntax", [b"", b" ", b"\0"])
def test_empty_syntax_is_not_given(tmp_path, syntax):
    path = tmp_path / "scan.dcm"
    path.write_bytes(dicom_file(radiograph(), syntax))
    expected = tmp_path / "expected.dcm"
    expected.write_bytes(dicom_file(radiograph()))
    np.testing.assert_array_equal(read_image(path), read_image(expected))


def test_compressed_pixels_need_a_stated_syntax(write_dicom, tmp_path):
    from pydicom.uid import RLELossless

    content = write_dicom(PIXELS, compression=RLELossless).read_bytes()
    path = tmp_path / "bare.dcm"
    path.write_bytes(content[content.index(b"\x08\x00\x16\x00") :])
    with pytest.raises(InputError, match=r"bare\.dcm does not say how its pixels are compressed"):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, read_image_size])
@pytest.mark.parametrize("syntax", [b"1.2.3.4", b"nonsense", b"1.2.840.10008.1.2.1\\1.2"])
def test_unknown_syntax_is_named(tmp_path, read, syntax):
    path = tmp_path / "scan.dcm"
    path.write_bytes(dicom_file(radiograph(), syntax))
    with pytest.raises(InputError, match=r"scan\.dcm: the element Transfer Syntax UID"):
        read(path)


def test_contents_go_before_the_suffix(tmp_path):
    from PIL import Image

    gray = (DEEP >> 4).astype(np.uint8)
    Image.fromarray(gray).save(tmp_path / "scan.png")
    picture = (tmp_path / "scan.png").rename(tmp_path / "scan.dcm")
    np.testing.assert_array_equal(read_image(picture)[:, :, 0], gray)


@pytest.mark.parametrize(
    "tag", [b"\xe0\x7f\x0f\x00", b"\xe0\x7f\x10\x00"], ids=["before", "pixels"]
)
def test_deflated_file_does_not_fill_the_memory(tmp_path, tag):
    """A long element, before the pixels or in their place, is not inflated."""
    mebibytes = 2000
    before = encode({tag: value for tag, value in radiograph().items() if tag < PIXEL_DATA})
    head = before + tag + b"OB\0\0" + (mebibytes * 2**20).to_bytes(4, "little")
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = deflater.compress(head) + deflater.flush(zlib.Z_FULL_FLUSH)
    block = deflater.compress(bytes(2**20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    path = tmp_path / "bomb.dcm"
    header = dicom_file({}, b"1.2.840.10008.1.2.1.99")
    path.write_bytes(header + start + block * mebibytes + deflater.flush())
    assert path.stat().st_size < 2**22
    (tmp_path / "sound.dcm").write_bytes(dicom_file(radiograph()))
    read_image(tmp_path / "sound.dcm")  # imports what the child needs
    assert_refused(call(read_image, path, memory_mib=500), "bomb.dcm")


def test_cut_deflated_file_is_named(rewrite):
    path = rewrite(DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"rewritten\.dcm"):
        read_image(path)
