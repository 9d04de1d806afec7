import random
from pathlib import Path

import pytest

from medmask.utils.picture_names import picture_names


@pytest.mark.parametrize(
    ("images", "names"),
    [
        ([], []),
        (["a/x.dcm"], ["x.png"]),
        (["in/x.png", "in/y.png"], ["x.png", "y.png"]),
        (["a/x.png", "b/x.png", "c/x_2.png"], ["a_x.png", "b_x.png", "x_2.png"]),
        (["a/x.png", "b/x.png", "c/a_x.png"], ["a_x_png.png", "b_x.png", "c_a_x.png"]),
        (["p/s1/1-1.dcm", "q/s1/1-1.dcm"], ["p_s1_1-1.png", "q_s1_1-1.png"]),
        (["x.png", "x.dcm"], ["x_png.png", "x_dcm.png"]),
        (["a/X.png", "b/x.png"], ["a_X.png", "b_x.png"]),
        (["x.png", "x.png", "x_png_2.png"], ["x_png.png", "x_png_3.png", "x_png_2.png"]),
        (["./a/x", "a/../b/x"], ["a_x.png", "b_x.png"]),
    ],
)
def test_names_tell_where_they_must(images, names):
    assert picture_names([Path(image) for image in images]) == names
    assert picture_names(images) == names


def test_long_names_stay_apart():
    names = picture_names([f"{letter * 250}/{'x' * 250}.png" for letter in "ab"])
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= 255 and name.endswith("xxx.png") for name in names)


def test_any_images_get_names_of_their_own():
    choose = random.Random(0)
    for _ in range(200):
        images = {
            "/".join(choose.choice(["a", "A", "a_x", "x", "x_2"]) for _ in range(depth))
            + choose.choice(["", ".png", ".dcm", "_png.png"])
            for depth in choose.choices([1, 2, 3], k=12)
        }
        names = picture_names(sorted(images))
        assert len({name.casefold() for name in names}) == len(images)
        assert not any("/" in name for name in names)
