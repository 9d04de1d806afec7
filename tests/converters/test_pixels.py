"""Gray levels of PNG and TIFF files, turned and inverted as their headers ask for."""

import numpy as np
import pytest
from PIL import Image

from medmask.converters.contract import SourceImage
from medmask.converters.pixels import read_pixels
from medmask.errors import InputError
from medmask.images import read_image, read_image_size

DEEP = (np.arange(1200, dtype=np.uint16) * 50).reshape(40, 30)
_ORIENTATION, _PHOTOMETRIC = 274, 262
_MIN_IS_WHITE = 0


@pytest.mark.parametrize("format", ["png", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_it_is_shown(tmp_path, format, dtype, orientation):
    path = tmp_path / f"a.{format}"
    stored = (DEEP // 256).astype(np.uint8) if dtype == np.uint8 else DEEP
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    Image.fromarray(stored).save(path, exif=exif)
    pixels = read_pixels(SourceImage(path, "a"))
    assert pixels.dtype == dtype
    assert pixels.shape == read_image_size(path)
    assert sorted(pixels.ravel()) == sorted(stored.ravel())
    shown = read_image(path)[..., 0].astype(np.float64)
    np.testing.assert_allclose(
        (shown - shown.min()) / np.ptp(shown),
        (pixels - float(pixels.min())) / np.ptp(pixels),
        atol=1e-6,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_stored_as_zero(tmp_path, dtype):
    path = tmp_path / "a.tif"
    stored = (DEEP // 256).astype(np.uint8) if dtype == np.uint8 else DEEP
    Image.fromarray(stored).save(path, tiffinfo={_PHOTOMETRIC: _MIN_IS_WHITE})
    with Image.open(path) as opened:
        assert opened.tag_v2[_PHOTOMETRIC] == _MIN_IS_WHITE
    written = np.frombuffer(path.read_bytes(), dtype, stored.size, _offset_of_pixels(path))
    pixels = read_pixels(SourceImage(path, "a"))
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels.ravel(), np.iinfo(dtype).max - written)


def test_words_of_the_other_byte_order(tmp_path):
    path = tmp_path / "a.tif"
    Image.frombytes("I;16B", DEEP.shape[::-1], DEEP.astype(">u2").tobytes()).save(path)
    assert path.read_bytes()[:2] == b"MM"
    pixels = read_pixels(SourceImage(path, "a"))
    assert pixels.dtype == np.uint16
    assert pixels.dtype.isnative
    np.testing.assert_array_equal(pixels, DEEP)


@pytest.mark.parametrize("values", [DEEP.astype(np.float32), DEEP.astype(np.int32)], ids=["F", "I"])
def test_other_numbers_are_refused(tmp_path, values):
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(InputError, match="has other than 8 or 16 bits; convert it to 16 bits"):
        read_pixels(SourceImage(path, "a"))


def _offset_of_pixels(path) -> int:
    with Image.open(path) as opened:
        return opened.tag_v2[273][0]


def test_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.dcm does not exist or cannot be reached"):
        read_pixels(SourceImage(tmp_path / "gone.dcm", "gone"))
