import numpy as np
import pytest

from medmask.errors import InputError
from medmask.images import stretch_to_255, to_rgb

RANDOM = np.random.default_rng(0).random((20, 30))
FLOATS = [np.float16, np.float32, np.float64]


@pytest.mark.parametrize(
    "pixels",
    [RANDOM, RANDOM * 255, RANDOM * 4095, RANDOM * 200 - 100, np.zeros((4, 5))],
    ids=["up to 1", "up to 255", "up to 4095", "negative", "zeros"],
)
def test_floating_point_types_are_treated_alike(pixels):
    pixels = pixels.astype(np.float16)  # numbers that all types can hold
    images = [to_rgb(pixels.astype(dtype)) for dtype in FLOATS]
    for image in images:
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, images[0], atol=1e-3)


@pytest.mark.parametrize("dtype", FLOATS)
def test_only_numbers_from_0_to_255_are_gray_levels_already(dtype):
    levels = (RANDOM * 200 + 20).astype(dtype)
    np.testing.assert_array_equal(to_rgb(levels)[:, :, 0], levels.astype(np.float32))
    for other in (RANDOM, RANDOM * 300, RANDOM * 200 - 20):
        stretched = to_rgb(other.astype(dtype))
        assert (stretched.min(), stretched.max()) == (0, 255)


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_not_finite_is_black_and_does_not_count(dtype):
    levels = (RANDOM * 200 + 20).astype(dtype)
    levels[0, :3] = np.nan, np.inf, -np.inf
    image = to_rgb(levels)
    assert (image[0, :3] == 0).all()
    np.testing.assert_array_equal(image[1:, :, 0], levels[1:].astype(np.float32))
    assert not to_rgb(np.full((3, 4), np.nan, dtype)).any()


def test_result_keeps_its_values():
    image = to_rgb(RANDOM)
    np.testing.assert_array_equal(to_rgb(image), image)


@pytest.mark.parametrize("dtype", [complex, object, "U3"])
def test_other_types_are_refused(dtype):
    with pytest.raises(InputError, match="must hold real numbers"):
        to_rgb(np.zeros((3, 4), dtype))


def test_huge_numbers_do_not_overflow():
    values = np.array([-1.7e308, 0, 1.7e308])
    np.testing.assert_allclose(stretch_to_255(values), [0, 127.5, 255])
    np.testing.assert_array_equal(stretch_to_255(np.array([True, False])), [255, 0])


def test_blocks_join(monkeypatch):
    whole = stretch_to_255(RANDOM)
    monkeypatch.setattr("medmask.images.intensity._BLOCK", 7)
    np.testing.assert_array_equal(stretch_to_255(RANDOM), whole)
    np.testing.assert_array_equal(stretch_to_255(RANDOM.T), whole.T)
