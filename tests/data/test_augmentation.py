import detectron2.data.transforms as T
import numpy as np
import pytest

from medmask.data.augmentation import (
    SmoothResizeTransform,
    build_test_augmentation,
    build_train_augmentation,
)
from medmask.data.sample_stream import seeded
from medmask.errors import InputError


def _shape_after(augmentation, height, width, index=0):
    augmentation_input = T.AugInput(np.zeros((height, width, 3), np.uint8))
    with seeded(0, index):
        augmentation(augmentation_input)
    return augmentation_input.image.shape[:2]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((4084, 3328), (982, 800)),
        ((3328, 2560), (1040, 800)),
        ((1200, 600), (1333, 667)),  # the long edge decides
        ((600, 1200), (667, 1333)),
        ((3000, 1), (1333, 1)),
    ],
)
def test_test_sizes(size, expected):
    assert _shape_after(build_test_augmentation(), *size) == expected


def test_train_sizes_follow_the_recipe():
    """From a square image: without zoom the result is square, with it hardly ever."""
    augmentation = build_train_augmentation()
    shapes = [_shape_after(augmentation, 500, 500, index) for index in range(80)]
    short_edges = {min(shape) for shape in shapes if max(shape) < 1333}
    assert short_edges == {480, 512, 544, 576, 608, 640, 672}
    assert 28 < sum(height != width for height, width in shapes) < 52
    # the crop is at least 256 of at most 600 pixels
    assert max(max(shape) / min(shape) for shape in shapes) <= 600 / 256 + 0.01


def test_flips_only():
    augmentation = build_train_augmentation(short_edge_lengths=[192], crop_probability=0)
    image = np.random.default_rng(0).integers(0, 256, (256, 192, 3), dtype=np.uint8)
    flipped = 0
    for index in range(50):
        augmentation_input = T.AugInput(image)
        with seeded(0, index):
            augmentation(augmentation_input)
        is_flipped = not np.array_equal(augmentation_input.image, image)
        expected = image[:, ::-1] if is_flipped else image
        np.testing.assert_array_equal(augmentation_input.image, expected)
        flipped += is_flipped
    assert 15 < flipped < 35


@pytest.mark.parametrize("new_size", [(75, 60), (290, 230), (411, 333)])
def test_float_images_are_resized_like_8_bit_ones(new_size):
    image = np.random.default_rng(0).integers(0, 256, (300, 240, 3), dtype=np.uint8)
    resize = SmoothResizeTransform(300, 240, *new_size)
    of_bytes = resize.apply_image(image).astype(np.float32)
    of_floats = resize.apply_image(image.astype(np.float32))
    assert of_floats.dtype == np.float32
    # within the rounding of the 8-bit path, which is done once a direction
    np.testing.assert_allclose(of_floats, of_bytes, atol=1.01)


@pytest.mark.parametrize(
    "options",
    [
        {"short_edge_lengths": []},
        {"short_edge_lengths": [0]},
        {"crop_size_range": (600, 256)},
        {"crop_size_range": (256,)},
        {"crop_short_edge_lengths": []},
        {"flip_probability": 1.5},
        {"crop_probability": -0.1},
    ],
)
def test_senseless_options_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        build_train_augmentation(**options)


def test_senseless_test_size():
    with pytest.raises(InputError, match="short_edge_length"):
        build_test_augmentation(short_edge_length=0)
