"""mini-MIAS: its index with all that is odd in it, and the real set where it is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from mini_mias_tree import write_mini_mias

from medmask.converters.annotations import ConvertedImage, make_document
from medmask.converters.contract import LeftOut, MarkedLesions
from medmask.converters.image_files import WrittenImage
from medmask.converters.mini_mias import read, read_pixels
from medmask.converters.regions import find_regions
from medmask.errors import InputError
from medmask.utils.json_files import read_json

REAL = "MEDMASK_MINI_MIAS"
"""Environment variable that names the raw folder of the real set."""
LINES = (
    "mdb005 F CIRC B 477 133 30",
    "mdb005 F CIRC B 500 168 26",
    "mdb006 F NORM ",
    "mdb059 F CIRC B",
    "mdb144 F MISC B 233 994 29",
    "mdb144 F MISC M 313 540 27",
    "mdb216 D CALC M *NOTE 3* ",
    "mdb233 G CALC M *NOTE 3*",
)


@pytest.fixture
def raw(tmp_path):
    return write_mini_mias(tmp_path / "raw", LINES)


def test_images_and_those_without_a_position(raw):
    contents = read(raw)
    assert [image.name for image in contents.images] == ["mdb005", "mdb006", "mdb144"]
    assert contents.left_out == [
        LeftOut(name, "its lesion has no position") for name in ("mdb059", "mdb216", "mdb233")
    ]
    assert contents.sources == [raw / "Info.txt"]
    assert not contents.problems


def test_films_of_a_pair_are_the_breasts_of_a_patient(raw):
    right, left, other = read(raw).images
    assert (right.patient_id, right.laterality) == ("mias003", "R")
    assert (left.patient_id, left.laterality) == ("mias003", "L")
    assert (other.patient_id, other.laterality) == ("mias072", "L")
    assert {image.view for image in (right, left, other)} == {"MLO"}
    assert right.pixel_spacing_mm == 0.2


def test_circles_become_squares_with_y_counted_from_below(raw):
    image = read(raw).images[0]
    assert [lesion.box for lesion in image.lesions] == [
        (447, 1024 - 133 - 30, 507, 1024 - 133 + 30),
        (474, 1024 - 168 - 26, 526, 1024 - 168 + 26),
    ]
    assert image.malignant is False


def test_a_film_with_a_benign_and_a_malignant_lesion(raw):
    image = read(raw).images[2]
    assert [lesion.malignant for lesion in image.lesions] == [False, True]
    assert image.malignant is True
    (region,) = find_regions(image.lesions[0], (1024, 1024), (1024, 1024))
    assert region.box == (204, 1, 58, 58)  # its upper edge is at 1024 - 994 - 29


def test_all_problems_are_told_at_once(tmp_path):
    lines = ["mdb001 G NORM", "mdb002 X NORM", "mdb003 G CIRC Q 1 2 3", "mdb004 G CIRC B 1 two 3"]
    contents = read(write_mini_mias(tmp_path, lines, without=("mdb001",)))
    assert not contents.images
    assert len(contents.problems) == len(contents.left_out) == 4
    for problem, words in zip(
        contents.problems, ("mdb001.pgm", "tissue of mdb002", "'mdb003 G", "'mdb004 G"), strict=True
    ):
        assert words in problem


def test_an_index_that_an_editor_has_written(raw):
    """With a byte order mark, other line ends, capitals and commas; no line may get lost."""
    expected = [(image.name, image.lesions) for image in read(raw).images]
    lines = [*LINES[:1], LINES[1].replace("mdb005", "MDB005,"), *LINES[2:]]
    (raw / "Info.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    (raw / "mdb005.pgm").rename(raw / "MDB005.PGM")
    contents = read(raw)
    assert not contents.problems
    assert [(image.name, image.lesions) for image in contents.images] == expected
    assert len(contents.images[0].lesions) == 2


def test_an_index_that_is_cut_off(raw):
    (raw / "Info.txt").write_text("\n".join(LINES[:3]))
    (raw / "._mdb005.pgm").touch()
    contents = read(raw)
    assert [image.name for image in contents.images] == ["mdb005", "mdb006"]
    (problem,) = contents.problems
    assert "4 films, the first is mdb059; the table may be cut off" in problem
    assert LeftOut("mdb144", "it is not in Info.txt") in contents.left_out


@pytest.mark.parametrize("position", ["1 2 0", "1 2 -3", "1 -2 3", "2000 2 3", "1 2 " + "9" * 400])
def test_circles_that_are_in_no_image(tmp_path, position):
    contents = read(write_mini_mias(tmp_path, [f"mdb001 G CIRC B {position}", "mdb002 G NORM"]))
    assert [image.name for image in contents.images] == ["mdb002"]
    (problem,) = contents.problems
    assert "is no circle in an image; copy it again" in problem


def test_another_folder(tmp_path):
    with pytest.raises(InputError, match=r"Info\.txt cannot be read .* give the folder"):
        read(tmp_path)
    (tmp_path / "Info.txt").write_text("Notes of mine")
    with pytest.raises(InputError, match="lists no films"):
        read(tmp_path)


def test_pixels_are_those_of_the_file(raw):
    image = read(raw).images[0]
    pixels = read_pixels(image)
    assert pixels.dtype == np.uint8
    assert pixels.tobytes() == image.path.read_bytes()[-(1024 * 1024) :]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"P5\n1024 1024\n255\n" + bytes(100), "cannot be read as PGM"),
        (b"P6\n2 2\n255\n" + bytes(12), "not gray of 8 bits"),
        (b"P5\n2 2\n65535\n" + bytes(8), "not gray of 8 bits"),
        (b"P5\n100000 100000\n255\n", "larger than the limit"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read as PGM"),
        (b"", "cannot be read as PGM"),
    ],
)
def test_files_that_are_no_films(raw, content, reason):
    image = read(raw).images[0]
    image.path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_pixels(image)


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} does not name the real raw folder")
def test_real_set():
    """The counts; boxes equal to those of ``annotations`` beside the raw folder, if it is there."""
    raw = Path(os.environ[REAL])
    contents = read(raw)
    lesions = [(image, lesion) for image in contents.images for lesion in image.lesions]
    malignant = [(image, lesion) for image, lesion in lesions if lesion.malignant]
    assert len(contents.images) == 318
    assert len({image.patient_id for image in contents.images}) == 161
    assert (len(lesions), len({image.name for image, _ in lesions})) == (119, 111)
    assert (len(malignant), len({image.name for image, _ in malignant})) == (51, 49)
    assert [each.name for each in contents.left_out] == ["mdb059", "mdb216", "mdb233", "mdb245"]
    assert not contents.problems
    reference = raw.parent / "annotations" / "instances_all_abnormality.json"
    if not reference.is_file():
        pytest.skip(f"{reference} is absent, so only the counts were compared")
    expected = read_json(reference, "reference")
    size = expected["images"][0]["height"], expected["images"][0]["width"]
    images = []
    for number, source in enumerate(contents.images, start=1):
        assert read_pixels(source).shape == (1024, 1024)
        regions = tuple(tuple(find_regions(each, (1024, 1024), size)) for each in source.lesions)
        written = WrittenImage(
            source.name,
            f"{source.name}.png",
            height=size[0],
            width=size[1],
            source_width=1024,
            regions=regions,
        )
        images.append(ConvertedImage(number, source, written))
    document = make_document(images, "lesion", "", MarkedLesions.ALL)
    assert boxes_of(document) == boxes_of(expected)


def boxes_of(document: dict) -> list:
    names = {image["id"]: image["file_name"] for image in document["images"]}
    return sorted((names[each["image_id"]], each["bbox"]) for each in document["annotations"])
