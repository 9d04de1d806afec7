"""Shapes, against OpenCV and against the pixels that they cover."""

import cv2
import numpy as np
import pytest

from medmask.annotation.shapes import box_shape, clip_polygon, ellipse_shape, rotated_box_shape
from medmask.errors import InputError


def area(points):
    x, y = points.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@pytest.mark.parametrize(
    "corner", [10**400, float("nan"), "x", None, -1e7], ids=["huge", "nan", "text", "none", "far"]
)
def test_coordinates_that_are_none(corner):
    with pytest.raises(InputError, match="its coordinates are not"):
        box_shape("mass", [0, 0, 10, corner])


@pytest.mark.parametrize("seed", range(40))
def test_clipped_polygon_is_opencv_s_intersection(seed):
    random = np.random.default_rng(seed)
    hull = cv2.convexHull(random.uniform(-40, 120, (6, 2)).astype(np.float32))[:, 0]
    image = np.array([(0, 0), (80, 0), (80, 60), (0, 60)], np.float32)
    wanted, _ = cv2.intersectConvexConvex(hull, image)
    found = clip_polygon(hull.astype(np.float64), 80, 60)
    assert (area(found) if len(found) else 0) == pytest.approx(wanted, rel=1e-4, abs=1e-2)
    if len(found):
        assert (found >= -1e-9).all()
        assert (found <= np.array((80, 60)) + 1e-9).all()


@pytest.mark.parametrize("degrees", [0, 17.5, 90, 200, -45])
def test_turned_box_has_opencv_s_corners(degrees):
    """OpenCV turns clockwise where y points down, as CVAT and Label Studio do."""
    shape = rotated_box_shape("mass", [10, 20, 50, 40], degrees, (30, 30))
    wanted = cv2.boxPoints(((30, 30), (40, 20), degrees))
    (corners,) = shape.polygons
    distances = np.abs(corners[:, None] - wanted[None]).sum(axis=2)
    assert (distances.min(axis=1) < 1e-4).all()
    assert (distances.min(axis=0) < 1e-4).all()


@pytest.mark.parametrize("degrees", [0, 30, 90, -60])
def test_ellipse_covers_the_pixels_of_one(degrees):
    (corners,) = ellipse_shape("mass", (50, 40), (30, 12), degrees).polygons
    y, x = np.mgrid[0:80, 0:100]
    angle = np.deg2rad(degrees)
    along = (x - 50) * np.cos(angle) + (y - 40) * np.sin(angle)
    across = -(x - 50) * np.sin(angle) + (y - 40) * np.cos(angle)
    inside = (along / 30) ** 2 + (across / 12) ** 2 < 1
    contour = corners.astype(np.float32)[:, None]
    found = np.array(
        [cv2.pointPolygonTest(contour, (float(a), float(b)), False) > 0
         for a, b in zip(x.ravel(), y.ravel(), strict=True)]
    )  # fmt: skip
    assert np.count_nonzero(found.reshape(inside.shape) != inside) <= 8  # along the outline
