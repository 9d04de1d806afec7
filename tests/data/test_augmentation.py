import detectron2.data.transforms as T
import numpy as np
import pytest

from medmask.data.augmentation import (
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


def test_scale_jitter_is_even_in_its_logarithm():
    augmentation = build_train_augmentation(
        short_edge_lengths=[400], crop_probability=0, scale_range=(0.5, 2.0)
    )
    edges = np.array([_shape_after(augmentation, 500, 400, index)[1] for index in range(300)])
    assert 200 <= edges.min() < 210
    assert 780 < edges.max() <= 800
    assert 0.4 < (edges < 400).mean() < 0.6


def test_scale_jitter_moves_the_limit_of_the_long_edge_too():
    augmentation = build_train_augmentation(
        short_edge_lengths=[400], max_size=500, crop_probability=0, scale_range=(2.0, 2.0)
    )
    assert _shape_after(augmentation, 800, 200) == (1000, 250)


@pytest.mark.parametrize("option", ["vertical_flip_probability", "rotation_degrees"])
def test_turned_boxes_bound_what_they_bounded(option):
    value = {"vertical_flip_probability": 1.0, "rotation_degrees": 30.0}[option]
    augmentation = build_train_augmentation(
        short_edge_lengths=[200], crop_probability=0, flip_probability=0, **{option: value}
    )
    image = np.zeros((240, 200, 3), np.uint8)
    image[150:190, 40:70] = 255
    for index in range(10):
        augmentation_input = T.AugInput(image)
        with seeded(0, index):
            transform = augmentation(augmentation_input)
        rows, columns = np.nonzero(augmentation_input.image[..., 0] > 127)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        box = transform.apply_box(np.array([[40.0, 150.0, 70.0, 190.0]]))[0]
        np.testing.assert_allclose(box, expected, atol=1.5)
        if option == "vertical_flip_probability":
            np.testing.assert_array_equal(box, [40, 50, 70, 90])


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
        {"vertical_flip_probability": 1.5},
        {"rotation_degrees": -1},
        {"rotation_degrees": 181},
        {"scale_range": (1.2, 0.8)},
        {"scale_range": (0.0, 1.0)},
    ],
)
def test_senseless_options_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        build_train_augmentation(**options)


def test_senseless_test_size():
    with pytest.raises(InputError, match="short_edge_length"):
        build_test_augmentation(short_edge_length=0)
