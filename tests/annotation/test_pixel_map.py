"""The map from stored to shown pixels is exact, and its own inverse is."""

import json

import numpy as np
import pytest

from medmask.annotation.pixel_map import PixelMap

MAPS = {
    "nothing": PixelMap((0, 0, 60, 40), 0, False, 60, 40),
    "crop": PixelMap((7, 3, 52, 33), 0, False, 45, 30),
    "quarter": PixelMap((7, 3, 52, 33), 1, False, 30, 45),
    "half": PixelMap((7, 3, 52, 33), 2, False, 45, 30),
    "three quarters": PixelMap((7, 3, 52, 33), 3, False, 30, 45),
    "mirror": PixelMap((7, 3, 52, 33), 0, True, 45, 30),
    "quarter and mirror": PixelMap((7, 3, 52, 33), 1, True, 30, 45),
    "scale": PixelMap((7, 3, 52, 33), 0, False, 20, 13),
    "all": PixelMap((7, 3, 52, 33), 3, True, 13, 20),
    "large": PixelMap((1, 5, 5928, 4728), 1, True, 1633, 2048),
}
maps = pytest.mark.parametrize("pixel_map", MAPS.values(), ids=MAPS.keys())


@maps
def test_there_and_back(pixel_map):
    points = np.random.default_rng(0).uniform(-10, 6000, (1000, 2))
    assert np.abs(pixel_map.to_stored(pixel_map.to_shown(points)) - points).max() < 1e-6
    assert np.abs(pixel_map.to_shown(pixel_map.to_stored(points)) - points).max() < 1e-6


@maps
def test_corners_of_the_crop_are_those_of_the_picture(pixel_map):
    box = tuple(map(float, pixel_map.crop))
    assert pixel_map.box_to_shown(box) == pytest.approx((0, 0, pixel_map.width, pixel_map.height))


@pytest.mark.parametrize("name", [name for name in MAPS if name not in ("scale", "all", "large")])
def test_each_pixel_is_shown_where_the_map_says(name):
    """Every pixel has a value of its own; its center is looked up in the picture."""
    pixel_map = MAPS[name]
    image = np.arange(40 * 60, dtype=np.float32).reshape(40, 60)
    shown = pixel_map.show(image)
    x0, y0, x1, y1 = pixel_map.crop
    for y in range(y0, y1):
        for x in range(x0, x1):
            center = pixel_map.to_shown(np.array([(x + 0.5, y + 0.5)]))
            column, row = np.floor(center[0]).astype(int)
            assert shown[row, column] == image[y, x]


@pytest.mark.parametrize("name", ["scale", "all"])
def test_reduced_picture_shows_a_spot_where_the_map_says(name):
    """The center of mass of a spot is where the map takes it, to a small part of a pixel."""
    pixel_map = MAPS[name]
    y, x = np.mgrid[0:40, 0:60] + 0.5
    image = np.exp(-((x - 30.3) ** 2 + (y - 17.8) ** 2) / (2 * 3.0**2)).astype(np.float32)
    shown = pixel_map.show(image)
    assert shown.shape == (pixel_map.height, pixel_map.width)
    rows, columns = np.mgrid[0 : pixel_map.height, 0 : pixel_map.width] + 0.5
    found = np.array([[(columns * shown).sum(), (rows * shown).sum()]]) / shown.sum()
    assert np.abs(found - pixel_map.to_shown(np.array([[30.3, 17.8]]))).max() < 0.02


@maps
def test_file_keeps_it_and_gives_the_matrix(pixel_map):
    content = json.loads(json.dumps(pixel_map.to_json()))
    assert PixelMap.from_json(content) == pixel_map
    points = np.random.default_rng(1).uniform(0, 2000, (50, 2))
    by_matrix = np.column_stack((points, np.ones(50))) @ np.array(content["to_stored"]).T
    assert np.abs(by_matrix - pixel_map.to_stored(points)).max() < 1e-6


@pytest.mark.parametrize(
    "change",
    [
        {"crop": [5, 5, 5, 9]},
        {"crop": [0, 0, 1.5, 9]},
        {"quarter_turns": 4},
        {"width": 0},
        {"mirrored": 1},
    ],
    ids=["empty crop", "half a pixel", "turns", "width", "flag"],
)
def test_faulty_files_are_refused(change):
    with pytest.raises(ValueError, match=r"number|value"):
        PixelMap.from_json(MAPS["crop"].to_json() | change)
