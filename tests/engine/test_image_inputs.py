import pytest

from medmask.engine import find_images
from medmask.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.dcm", "notes.txt", "deep/c.JPG", "noname"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_folder_gives_what_looks_like_an_image_in_order(folder):
    assert names(find_images([str(folder)]), folder) == ["a.dcm", "b.png", "deep/c.JPG"]


def test_a_file_counts_whatever_its_name(folder):
    assert names(find_images([str(folder / "noname")]), folder) == ["noname"]


def test_pattern_is_expanded_and_nothing_comes_twice(folder):
    inputs = [f"{folder}/*.png", f"{folder}/**/*.JPG", str(folder / "b.png"), str(folder)]
    assert names(find_images(inputs), folder) == ["b.png", "deep/c.JPG", "a.dcm"]


@pytest.mark.parametrize("text", ["nowhere.png", "nowhere/*.png"])
def test_what_does_not_exist_is_named(text):
    with pytest.raises(InputError, match=r"input nowhere.* does not exist"):
        find_images([text])


def test_folder_without_images_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no image"):
        find_images([str(tmp_path)])
