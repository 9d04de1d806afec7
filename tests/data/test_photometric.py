import detectron2.data.transforms as T
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medmask.data import build_photometric_augmentation
from medmask.data.photometric import (
    Grayscale,
    RandomColorJitter,
    RandomGaussianBlur,
    RandomWindow,
    change_pixels,
)
from medmask.data.sample_stream import seeded
from medmask.errors import InputError

ALWAYS = {"jitter_probability": 1.0, "grayscale_probability": 0.0, "blur_probability": 1.0}
DTYPES = pytest.mark.parametrize("dtype", [np.uint8, np.float32])


def make_image(dtype, height=40, width=30, channels=3):
    image = np.random.default_rng(0).uniform(0, 255, (height, width, channels))
    return np.broadcast_to(image, (height, width, 3)).astype(dtype)


def change(image, augmentation, index=0):
    with seeded(0, index):
        return change_pixels(image, augmentation)


@DTYPES
def test_shape_type_and_range_stay(dtype):
    augmentation = build_photometric_augmentation(**ALWAYS, brightness=2.0, contrast=2.0)
    image = make_image(dtype)
    before = image.copy()
    for index in range(20):
        changed = change(image, augmentation, index)
        assert changed.shape == image.shape
        assert changed.dtype == dtype
        assert changed.min() >= 0
        assert changed.max() <= 255
        assert not np.array_equal(changed, image)
    np.testing.assert_array_equal(image, before)


def test_position_decides_what_is_drawn():
    augmentation, image = build_photometric_augmentation(**ALWAYS), make_image(np.uint8)
    views = [change(image, augmentation, index) for index in (3, 3, 4)]
    np.testing.assert_array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


def test_boxes_stay():
    transform = build_photometric_augmentation(**ALWAYS)(T.AugInput(make_image(np.uint8)))
    np.testing.assert_array_equal(transform.apply_box(np.array([[1.0, 2, 3, 4]])), [[1, 2, 3, 4]])


@DTYPES
def test_grey_image_has_neither_hue_nor_saturation(dtype):
    image = make_image(dtype, channels=1)
    colors = RandomColorJitter(brightness=0, contrast=0, saturation=0.9, hue=0.5)
    for augmentation in (colors, Grayscale()):
        np.testing.assert_allclose(change(image, augmentation), image, atol=1e-4)
    changed = change(image, build_photometric_augmentation(**ALWAYS))
    assert (changed == changed[..., :1]).all()


def test_bytes_and_floats_are_treated_alike():
    image = make_image(np.uint8)
    for index in range(5):
        of_bytes = change(image, build_photometric_augmentation(**ALWAYS), index)
        of_floats = change(
            image.astype(np.float32), build_photometric_augmentation(**ALWAYS), index
        )
        # each of the two steps rounds bytes once
        np.testing.assert_allclose(of_bytes, of_floats, atol=1.01)


def test_brightness_multiplies_and_contrast_keeps_the_mean():
    image = make_image(np.float32, channels=1) / 3 + 80  # nothing is clipped
    brighter = change(image, RandomColorJitter(0.4, 0, 0, 0))
    factor = brighter.mean() / image.mean()
    assert 0.6 <= factor <= 1.4
    np.testing.assert_allclose(brighter, factor * image, rtol=1e-4)

    flatter = change(image, RandomColorJitter(0, 0.4, 0, 0))
    factor = flatter.std() / image.std()
    assert 0.6 <= factor <= 1.4
    expected = image.mean() + factor * (image - image.mean())
    np.testing.assert_allclose(flatter, expected, rtol=1e-4)


def test_factors_fill_their_range():
    image = np.full((2, 2, 3), 100, np.float32)
    jitter = RandomColorJitter(0.4, 0, 0, 0)
    factors = np.array([change(image, jitter, p).mean() / 100 for p in range(200)])
    assert 0.6 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4


def test_grey_is_luminance():
    image = make_image(np.float32)
    expected = image @ [0.299, 0.587, 0.114]
    gray = change(image, Grayscale())
    np.testing.assert_allclose(gray, np.repeat(expected[..., None], 3, axis=2), atol=0.1)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_blur_is_gaussian(sigma):
    image = make_image(np.float32)
    blurred = change(image, RandomGaussianBlur((sigma, sigma)))
    expected = gaussian_filter(image, sigma, mode="mirror", truncate=6, axes=(0, 1))
    np.testing.assert_allclose(blurred, expected, atol=1.5)  # cut off at 3 sigma


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2)])
def test_tiny_images_are_blurred(shape):
    image = make_image(np.uint8, *shape)
    assert change(image, RandomGaussianBlur((2.0, 2.0))).shape == image.shape


@DTYPES
def test_window_keeps_the_order_of_gray_levels(dtype):
    ramp = np.linspace(0, 255, 256)
    image = np.broadcast_to(ramp[None, :, None], (2, 256, 3)).astype(dtype)
    for index in range(20):
        changed = change(image, RandomWindow(0.2, (0.5, 2.0)), index)
        assert changed.dtype == dtype
        row = changed[0, :, 0].astype(float)
        assert (np.diff(row) >= 0).all()
        assert 0 == row[0] <= row[-1] <= 255


def test_window_is_its_formula():
    """Three gray levels give away both ends and gamma, which then explain all others."""
    image = np.broadcast_to(np.linspace(0, 255, 64)[None, :, None], (1, 64, 3)).astype(np.float32)
    only_gamma = change(image, RandomWindow(0, (1.7, 1.7)))
    np.testing.assert_allclose(only_gamma, (image / 255) ** 1.7 * 255, atol=0.01)

    only_window = change(image, RandomWindow(0.3, (1, 1)))[0, :, 0]
    inside = (only_window > 0) & (only_window < 255)
    slope, offset = np.polyfit(image[0, inside, 0], only_window[inside], 1)
    low, high = -offset / slope / 255, (255 - offset) / slope / 255
    assert 0 <= low <= 0.3
    assert 0.7 <= high <= 1.3
    expected = np.clip((image[0, :, 0] / 255 - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(only_window, expected, atol=0.05)


def test_gamma_fills_its_range_evenly_in_its_logarithm():
    image = np.full((1, 1, 3), 127.5, np.float32)
    window = RandomWindow(0, (0.5, 2.0))
    gammas = [-np.log2(change(image, window, p).mean() / 255) for p in range(300)]
    assert 0.5 <= min(gammas) < 0.53
    assert 1.9 < max(gammas) <= 2.0
    assert 0.4 < np.mean(np.array(gammas) < 1) < 0.6


def test_probabilities():
    image = make_image(np.uint8)
    never = dict.fromkeys(ALWAYS, 0.0)
    np.testing.assert_array_equal(change(image, build_photometric_augmentation(**never)), image)
    gray = build_photometric_augmentation(**never | {"grayscale_probability": 0.2})
    changed = sum(not np.array_equal(change(image, gray, p), image) for p in range(200))
    assert 25 < changed < 55


@pytest.mark.parametrize(
    "options",
    [
        {"brightness": -0.1},
        {"contrast": -1},
        {"saturation": -1},
        {"hue": 0.6},
        {"jitter_probability": 1.1},
        {"grayscale_probability": -0.1},
        {"blur_probability": 2},
        {"blur_sigma_range": (2.0, 0.1)},
        {"blur_sigma_range": (0.0, 1.0)},
        {"blur_sigma_range": (1.0,)},
        {"window_jitter": -0.1},
        {"window_jitter": 0.5},
        {"gamma_range": (2.0, 1.0)},
        {"gamma_range": (0.0, 1.0)},
        {"window_probability": 1.1},
    ],
)
def test_senseless_options_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        build_photometric_augmentation(**options)
