"""Regions of lesions in the image that is written."""

import cv2
import numpy as np
import pytest

from medmask.converters.contract import Lesion
from medmask.converters.regions import find_regions
from medmask.errors import InputError


def test_box_follows_the_size():
    (region,) = find_regions(Lesion(box=(10, 20, 30, 60)), (100, 200), (50, 50))
    assert region.box == (2.5, 10, 5, 20)
    assert not region.polygons


def test_box_and_outlines_are_cut_off_at_the_edges():
    (region,) = find_regions(Lesion(box=(-5, 90, 20, 130)), (100, 200), (100, 200))
    assert region.box == (0, 90, 20, 10)
    outline = np.array([(-3.0, -4.0), (7.5, 0.0), (5.0, 250.0)])
    (region,) = find_regions(Lesion((outline,)), (100, 200), (100, 200))
    assert region.box == (0, 0, 7.5, 100)
    assert region.polygons == ((0, 0, 7.5, 0, 5, 100),)


def test_several_outlines_are_one_lesion():
    first = np.array([(0, 0), (4, 0), (4, 4)], float)
    (region,) = find_regions(Lesion((first, first + 20)), (100, 100), (100, 100))
    assert region.box == (0, 0, 24, 24)
    assert len(region.polygons) == 2


@pytest.mark.parametrize(
    "lesion",
    [
        Lesion(box=(-9, 0, -1, 5)),
        Lesion(box=(100, 0, 120, 5)),
        Lesion(box=(5, 5, 5, 9)),
        Lesion((np.array([(5.0, 5.0), (9.0, 5.0), (7.0, 5.0)]),)),
    ],
    ids=["left", "right", "thin", "line"],
)
def test_lesions_of_which_nothing_is_in_the_image(lesion):
    with pytest.raises(InputError, match="outside of the image, or has no area"):
        find_regions(lesion, (100, 100), (100, 100))


@pytest.fixture
def write_mask(tmp_path):
    def write(mask):
        cv2.imwrite(str(tmp_path / "mask.png"), mask)
        return tmp_path / "mask.png"

    return write


def test_mask_of_another_size(write_mask):
    """Of half the width and the full height: pixels of it are two pixels wide in the image."""
    mask = np.zeros((100, 50), np.uint8)
    mask[30:50, 10:20] = 255
    mask[70:90, 40:45] = 1
    path = write_mask(mask)
    (whole,) = find_regions(Lesion(mask=path), (100, 100), (100, 100))
    assert whole.box == (20, 30, 70, 60)
    assert len(whole.polygons) == 2
    parts = find_regions(Lesion(mask=path, is_split=True), (100, 100), (200, 200))
    assert sorted(part.box for part in parts) == [(40, 60, 40, 40), (160, 140, 20, 40)]


def test_polygons_of_a_mask_cover_it(write_mask):
    mask = np.zeros((80, 90), np.uint8)
    cv2.ellipse(mask, (40, 30), (20, 12), 30, 0, 360, 255, -1)
    (region,) = find_regions(Lesion(mask=write_mask(mask)), mask.shape, mask.shape)
    (polygon,) = region.polygons
    filled = np.zeros_like(mask)
    corners = np.array(polygon).reshape(-1, 2) - 0.5  # to centers of pixels
    cv2.fillPoly(filled, [corners.round().astype(np.int32)], 255)
    assert np.count_nonzero(filled != mask) < 0.03 * np.count_nonzero(mask)


def test_mask_of_one_pixel_has_a_box(write_mask):
    mask = np.zeros((20, 20), np.uint8)
    mask[7, 3] = 255
    (region,) = find_regions(Lesion(mask=write_mask(mask)), (20, 20), (20, 20))
    assert region.box == (3, 7, 1, 1)
    assert not region.polygons


def test_mask_with_smooth_edges(write_mask):
    mask = cv2.blur(np.pad(np.full((12, 12), 255, np.uint8), 4), (3, 3))
    (region,) = find_regions(Lesion(mask=write_mask(mask)), (20, 20), (20, 20))
    assert region.box == (3, 3, 14, 14)


def test_picture_in_the_place_of_a_mask(write_mask):
    picture = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    with pytest.raises(InputError, match=r"mask\.png has many gray levels, .* copy the mask again"):
        find_regions(Lesion(mask=write_mask(picture)), (20, 20), (20, 20))


def test_empty_mask(write_mask):
    with pytest.raises(InputError, match=r"mask\.png is empty"):
        find_regions(Lesion(mask=write_mask(np.zeros((20, 20), np.uint8))), (20, 20), (20, 20))


def test_a_polygon_beside_the_image_is_not_written():
    """Cut off, it would be a corner of the image, several times."""
    square = np.array([(10, 10), (30, 10), (30, 30), (10, 30)], float)
    lesion = Lesion(outlines=(square, square + 500), box=(10, 10, 30, 30))
    (region,) = find_regions(lesion, (80, 100), (80, 100))
    assert region.box == (10, 10, 20, 20)
    assert region.polygons == (tuple(square.ravel()),)
