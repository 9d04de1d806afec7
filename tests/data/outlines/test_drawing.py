"""Regions on augmented images against the center of each pixel, taken back one by one."""

import detectron2.data.transforms as T
import numpy as np
import pytest
from matplotlib.path import Path as Region

from medmask.data import build_train_augmentation
from medmask.data.mapper import augment_image
from medmask.data.outlines.drawing import Canvas
from medmask.data.sample_stream import seeded

HEIGHT, WIDTH = 90, 71
AUGMENTATIONS = {
    "none": T.AugmentationList([]),
    "flip": T.AugmentationList(
        [T.RandomFlip(1.0), T.RandomFlip(1.0, horizontal=False, vertical=True)]
    ),
    "crop": T.AugmentationList([T.CropTransform(7, 11, 50, 60)]),
    "larger": build_train_augmentation(short_edge_lengths=[133], crop_probability=0),
    "smaller": build_train_augmentation(short_edge_lengths=[23], crop_probability=0),
    "zoom": build_train_augmentation(
        short_edge_lengths=[64],
        crop_probability=1,
        crop_short_edge_lengths=[100],
        crop_size_range=(40, 90),
    ),
    "all": build_train_augmentation(
        short_edge_lengths=[80],
        crop_probability=1,
        crop_short_edge_lengths=[100],
        crop_size_range=(50, 90),
        vertical_flip_probability=0.5,
        rotation_degrees=25,
    ),
}


@pytest.fixture(params=AUGMENTATIONS)
def augmented(request):
    with seeded(0, 3):
        return augment_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), AUGMENTATIONS[request.param])


def original_centers(augmented):
    """The center of each pixel of the result in the original, by the transform's own steps."""
    height, width = augmented.pixels.shape[:2]
    matrix = np.array(augmented.to_original)
    points = [matrix @ (x + 0.5, y + 0.5, 1) for y in range(height) for x in range(width)]
    moved = augmented.transform.apply_coords(np.array(points))
    expected = [(x + 0.5, y + 0.5) for y in range(height) for x in range(width)]
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    return np.array(points).reshape(height, width, 2)


def canvas_of(augmented):
    return Canvas(augmented.to_original, augmented.pixels.shape[:2])


@pytest.mark.parametrize("seed", range(3))
def test_polygons(augmented, seed):
    random = np.random.default_rng(seed)
    corners = random.uniform((-10, -10), (WIDTH + 10, HEIGHT + 10), (3 + 4 * seed, 2))
    centers = original_centers(augmented)
    # even-odd, by the winding of each edge's crossing seen from each center
    inside = np.zeros(centers.shape[:2], bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        for index in np.ndindex(inside.shape):
            x, y = centers[index]
            if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                inside[index] ^= True
    assert np.array_equal(canvas_of(augmented).polygon(corners), inside)


def test_star_shaped_polygons_are_as_matplotlib_fills_them(augmented):
    random = np.random.default_rng(5)
    angles = np.sort(random.uniform(0, 2 * np.pi, 12))
    radii = random.uniform(8, 30, 12)
    corners = np.stack((35 + radii * np.cos(angles), 45 + radii * np.sin(angles)), axis=1)
    centers = original_centers(augmented)
    expected = Region(corners).contains_points(centers.reshape(-1, 2)).reshape(centers.shape[:2])
    assert np.array_equal(canvas_of(augmented).polygon(corners), expected)


def test_bitmaps(augmented):
    bitmap = np.random.default_rng(1).random((HEIGHT, WIDTH)) < 0.3
    bitmap[:5] = bitmap[:, -9:] = False
    expected = np.zeros(augmented.pixels.shape[:2], bool)
    for index, (x, y) in zip(
        np.ndindex(expected.shape), original_centers(augmented).reshape(-1, 2), strict=True
    ):
        if 0 <= x < WIDTH and 0 <= y < HEIGHT:
            expected[index] = bitmap[int(y), int(x)]
    # a center may fall on the line between two pixels
    assert (canvas_of(augmented).bitmap(bitmap) != expected).mean() < 1e-3
    assert not canvas_of(augmented).bitmap(np.zeros_like(bitmap)).any()


def test_ellipses_and_boxes(augmented):
    x0, y0, x1, y1 = box = (20.2, 30.1, 55.7, 61.3)
    x, y = np.moveaxis(original_centers(augmented), -1, 0)
    ellipse = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
    assert np.array_equal(canvas_of(augmented).ellipse(box), ellipse)
    inside = (x0 < x) & (x < x1) & (y0 < y) & (y < y1)
    assert np.array_equal(canvas_of(augmented).box(box), inside)


def test_what_lies_outside_leaves_nothing(augmented):
    canvas = canvas_of(augmented)
    assert not canvas.box((300, 300, 400, 400)).any()
    assert not canvas.ellipse((-90, -90, -50, -50)).any()
    assert not canvas.polygon(np.array([[1e6, 0], [1e6, 5], [9e5, 5]])).any()
