import detectron2.data.transforms as T
import numpy as np
import pytest
from painted_mammograms import paint_mammogram

from medmask.data import build_test_augmentation, build_train_augmentation
from medmask.data.breast import BreastCrop, find_breast
from medmask.data.mapper import augment_image
from medmask.data.sample_stream import seeded
from medmask.errors import InputError


def _rgb(image):
    return np.repeat(image[..., None], 3, axis=2)


@pytest.mark.parametrize("side", ["left", "right"])
def test_crop_is_the_breast_and_its_margin(side):
    image, _ = paint_mammogram(400, 300, side=side)
    x0, y0, x1, y1 = find_breast(image).box
    margin = round(0.1 * max(x1 - x0, y1 - y0))
    expected = image[
        max(y0 - margin, 0) : min(y1 + margin, 400), max(x0 - margin, 0) : min(x1 + margin, 300)
    ]
    result = augment_image(_rgb(image), BreastCrop(margin=0.1))
    np.testing.assert_array_equal(result.pixels, _rgb(expected))
    left, top, right, bottom = (round(x) for x in result.original_corners)
    np.testing.assert_array_equal(image[top:bottom, left:right], expected)


def test_image_without_a_breast_is_kept_whole():
    image = _rgb(np.zeros((40, 30), np.uint8))
    result = augment_image(image, build_test_augmentation(short_edge_length=30, breast_crop=True))
    assert result.pixels.shape == (40, 30, 3)
    assert result.original_corners == (0, 0, 30, 40)


@pytest.mark.parametrize("margin", [-0.01, float("inf"), float("nan")])
def test_senseless_margin_is_refused(margin):
    with pytest.raises(InputError, match="margin"):
        BreastCrop(margin)


def test_corners_lead_back_to_the_original():
    """Through all of training's augmentation, against the transform applied to many points."""
    image = _rgb(paint_mammogram(401, 307)[0])
    augmentation = build_train_augmentation(
        short_edge_lengths=[140, 231],
        crop_short_edge_lengths=[120, 163],
        crop_size_range=(60, 150),
        breast_crop=True,
    )
    is_mirrored = set()
    for index in range(40):
        with seeded(0, index):
            pixels, transform, corners = augment_image(image, augmentation)
        points = np.random.default_rng(index).uniform(0, 300, (50, 2))
        inside = transform.apply_coords(points.copy())
        x0, y0, x1, y1 = corners
        back = (x0, y0) + inside / pixels.shape[1::-1] * (x1 - x0, y1 - y0)
        np.testing.assert_allclose(back, points, atol=1e-9)
        is_mirrored.add(x0 > x1)
    assert is_mirrored == {False, True}


def test_turned_image_has_no_corners():
    result = augment_image(_rgb(paint_mammogram(60, 40)[0]), T.RandomRotation([90, 90]))
    assert result.original_corners is None


def test_test_images_show_what_train_images_show():
    image = _rgb(paint_mammogram(400, 300)[0])
    train = build_train_augmentation(
        short_edge_lengths=[128], flip_probability=0, crop_probability=0, breast_crop=True
    )
    test = build_test_augmentation(short_edge_length=128, breast_crop=True)
    np.testing.assert_array_equal(augment_image(image, train)[0], augment_image(image, test)[0])
