import json
import math

import numpy as np
import pytest

from medmask.converters.cdd_cesm.regions import read_outline


def outline_of(**shape):
    return read_outline(json.dumps(shape))


@pytest.mark.parametrize("name", ["polygon", "polyline"])
def test_corners(name):
    outline = outline_of(name=name, all_points_x=[1, 5, 3.5], all_points_y=[2, 2, 9])
    assert outline.tolist() == [[1, 2], [5, 2], [3.5, 9]]


def test_circle():
    outline = outline_of(name="circle", cx=100, cy=50, r=10)
    assert np.hypot(*(outline - (100, 50)).T) == pytest.approx(10)
    assert outline.min(0).tolist() == pytest.approx([90, 40])
    assert outline.max(0).tolist() == pytest.approx([110, 60])


def test_ellipse():
    x, y = (outline_of(name="ellipse", cx=100, cy=50, rx=20, ry=10) - (100, 50)).T
    assert (x / 20) ** 2 + (y / 10) ** 2 == pytest.approx(1)


def test_turned_ellipse():
    turned = outline_of(name="ellipse", cx=0, cy=0, rx=20, ry=10, theta=math.pi / 2)
    assert turned.max(0).tolist() == pytest.approx([10, 20])


def test_rectangle():
    outline = outline_of(name="rect", x=1, y=2, width=3, height=4)
    assert (*outline.min(0), *outline.max(0)) == (1, 2, 4, 6)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"name": "point", "cx": 5, "cy": 6},
        {"name": "circle", "cx": 5, "cy": 6, "r": 0},
        {"name": "polyline", "all_points_x": [1, 2], "all_points_y": [1, 5]},
        {"name": "polygon", "all_points_x": [1, 1, 1], "all_points_y": [1, 5, 7]},
    ],
    ids=["none", "point", "no radius", "two points", "vertical line"],
)
def test_no_area(shape):
    assert read_outline(json.dumps(shape)) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Expecting"),
        ("[1]", "not an object"),
        ('{"name": "star"}', "no shape of VIA"),
        ('{"x": 1}', "no shape of VIA"),
        ('{"name": "circle", "cx": "5", "cy": 6, "r": 1}', "not a number"),
        ('{"name": "circle", "cx": NaN, "cy": 6, "r": 1}', "not finite"),
        ('{"name": "circle", "cx": 1' + "0" * 400 + ', "cy": 6, "r": 1}', "far from any image"),
        ('{"name": "ellipse", "cx": 1e308, "cy": 6, "rx": 1e308, "ry": 1}', "far from any image"),
        ("[" * 100_000, "nested too deep"),
        ('{"name": "circle", "cx": 5, "cy": 6}', "not a number"),
        ('{"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1]}', "same shape"),
        ('{"name": "polygon", "all_points_x": 5, "all_points_y": [1]}', "not a list"),
    ],
    ids=range(12),
)
def test_faults(text, fault):
    with pytest.raises(ValueError, match=fault):
        read_outline(text)
