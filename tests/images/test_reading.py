import cv2
import numpy as np
import pytest
from detectron2.data.detection_utils import read_image as detectron2_read_image
from PIL import Image, TiffImagePlugin

from medmask.errors import InputError
from medmask.images import read_image, read_image_size, stretch_to_255, to_rgb

GRAY = np.random.default_rng(0).integers(0, 256, (13, 10), dtype=np.uint8)
COLOR = np.random.default_rng(1).integers(0, 256, (13, 10, 3), dtype=np.uint8)
DEEP = np.random.default_rng(2).permutation(65536)[:5000].astype(np.uint16).reshape(100, 50)


def _stretched(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.min()) * 255 / (values.max() - values.min())


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("pixels", [GRAY, COLOR], ids=["gray", "color"])
def test_8_bits_are_kept_exactly(tmp_path, pixels, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(pixels).save(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    expected = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    np.testing.assert_array_equal(image, expected)


def test_alpha_is_dropped(tmp_path):
    Image.fromarray(np.dstack([COLOR, GRAY])).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), COLOR)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_that_of_detectron2(tmp_path, orientation, suffix):
    path = tmp_path / f"image.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(COLOR).save(path, exif=exif)
    image = read_image(path)
    np.testing.assert_array_equal(image, detectron2_read_image(path, "RGB"))
    assert image.shape[:2] == ((13, 10) if orientation < 5 else (10, 13))
    assert read_image_size(path) == image.shape[:2]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_stretched_without_loss(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(DEEP).save(path)
    image = read_image(path)
    assert image.dtype == np.float32
    assert image.shape == (100, 50, 3)
    assert (image.min(), image.max()) == (0, 255)
    np.testing.assert_allclose(image[:, :, 1], _stretched(DEEP), atol=2e-5)
    assert len(np.unique(image)) == DEEP.size  # every gray level is still one of its own
    assert read_image_size(path) == (100, 50)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_color(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    pixels = np.random.default_rng(3).integers(0, 65536, (13, 10, 3), dtype=np.uint16)
    cv2.imwrite(str(path), pixels[:, :, ::-1])
    np.testing.assert_allclose(read_image(path), _stretched(pixels), atol=2e-5)


def test_16_bit_tiff_with_white_as_zero(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    Image.fromarray(DEEP).save(tmp_path / "image.tif", tiffinfo=tags)
    image = read_image(tmp_path / "image.tif")
    np.testing.assert_allclose(image[:, :, 0], 255 - _stretched(DEEP), atol=2e-5)


def test_constant_image_becomes_zeros(tmp_path):
    Image.fromarray(np.full((4, 5), 30000, np.uint16)).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), np.zeros((4, 5, 3)))


def test_stretching_leaves_out_what_is_no_pixel():
    values = np.array([np.nan, -3.0, 7.0, np.inf, 2.0])
    np.testing.assert_array_equal(stretch_to_255(values), np.float32([0, 0, 255, 0, 127.5]))
    np.testing.assert_array_equal(stretch_to_255(np.full(3, np.nan)), np.zeros(3))


@pytest.mark.parametrize("read", [read_image, read_image_size])
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("absent.png", None, "does not exist"),
        ("empty.png", b"", "the file is empty"),
        ("text.jpg", b"this is no image, whatever its name says" * 9, "not a PNG, JPEG, TIFF"),
        ("text.dcm", b"this is no image, whatever its name says" * 9, "no image|cannot be read"),
        ("empty.dcm", b"", "no image|cannot be read"),
    ],
)
def test_unreadable_files_are_named(tmp_path, read, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [("jpg", "uint8"), ("png", "uint8"), ("png", "uint16"), ("tif", "uint8"), ("tif", "uint16")],
)
def test_cut_off_files_are_named(tmp_path, suffix, dtype):
    path = tmp_path / f"image.{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(dtype)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match="cannot be read") as error:
        read_image(path)
    assert str(path) in str(error.value)


def test_folder_is_no_image(tmp_path):
    with pytest.raises(InputError, match="is not a file but a folder"):
        read_image(tmp_path)


def test_arrays_take_the_form_of_files():
    np.testing.assert_array_equal(to_rgb(GRAY), np.stack([GRAY] * 3, axis=-1))
    assert to_rgb(COLOR) is COLOR
    np.testing.assert_allclose(to_rgb(DEEP)[:, :, 2], _stretched(DEEP), atol=2e-5)
    for shape in [(5,), (5, 4, 1), (0, 4)]:
        with pytest.raises(InputError, match="shape"):
            to_rgb(np.zeros(shape))
