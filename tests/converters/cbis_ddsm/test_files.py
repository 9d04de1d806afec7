import numpy as np
import pytest

from medmask.converters.cbis_ddsm.cases import Place
from medmask.converters.cbis_ddsm.files import choose_film, choose_mask, find_files

FOLDER = "Mass-Training_P_00001_LEFT_CC"
SERIES = "1.3.6.1.4.1.9590.100.1.2.342386194811267636608694132590482924515"


@pytest.mark.parametrize(
    "path",
    [
        f"CBIS-DDSM/{FOLDER}/07-20-2016-DDSM-NA-74994/1.000000-full mammogram images-24515/1-1.dcm",
        f"{FOLDER}/07-20-2016-DDSM-74994/1-full mammogram images-24515/000000.dcm",
        f"{FOLDER}/1.3.6.1.4.1.9590.100.1.2.4/{SERIES}/000000.DCM",
        f"dicom/{SERIES}/1-172.dcm",
    ],
    ids=["new", "old", "UIDs", "series"],
)
def test_layouts(tmp_path, path):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.touch()
    (file.parent / "LICENSE").touch()
    assert find_files(tmp_path, []).at((Place(FOLDER, SERIES),)) == [file]
    assert find_files(tmp_path, []).at((Place(f"{FOLDER}_1", "1.2.3"),)) == []


def test_two_places_of_one_folder(tmp_path):
    for day in ("a", "b"):
        (tmp_path / f"{FOLDER}_1" / day).mkdir(parents=True)
        (tmp_path / f"{FOLDER}_1" / day / "1-1.dcm").touch()
    places = (Place(f"{FOLDER}_1", "1.2.3"), Place(f"{FOLDER}_1", "1.2.4"))
    assert [path.parent.name for path in find_files(tmp_path, []).at(places)] == ["a", "b"]


def test_film_beside_other_series(tmp_path):
    film = tmp_path / "1.000000-full mammogram images-1" / "1-1.dcm"
    other = tmp_path / "1.000000-other-1" / "1-1.dcm"
    assert choose_film([other, film]) == film
    assert choose_film([other]) == other
    assert choose_film([]) is None
    assert choose_film([film, film.with_name("1-2.dcm")]) is None


@pytest.fixture
def film_size():
    return 40, 30


@pytest.fixture
def crop(write_dicom):
    pixels = np.arange(90, dtype=np.uint16).reshape(9, 10)
    return write_dicom(pixels, name="cutouts/crop.dcm")


@pytest.fixture
def write_mask(write_dicom):
    def write(height, width, name="mask"):
        pixels = np.zeros((height, width), np.uint8)
        pixels[3:8, 2:5] = 255
        return write_dicom(pixels, name=f"cutouts/{name}.dcm")

    return write


@pytest.mark.parametrize("mask_is_first", [True, False])
def test_mask_and_crop_swapped(write_mask, crop, film_size, mask_is_first):
    mask = write_mask(40, 30)
    files = [mask, crop] if mask_is_first else [crop, mask]
    assert choose_mask(files, film_size) == mask


def test_mask_of_another_size(write_mask, crop, film_size):
    mask = write_mask(35, 28)
    assert choose_mask([crop, mask], film_size) == mask


def test_crop_of_the_size_of_the_film(write_dicom, write_mask, film_size):
    whole = write_dicom(np.arange(1200, dtype=np.uint16).reshape(40, 30), name="whole.dcm")
    mask = write_mask(40, 30)
    assert choose_mask([whole, mask], film_size) == mask


def test_lone_mask(write_mask, film_size):
    mask = write_mask(20, 30)
    assert choose_mask([mask], film_size) == mask


def test_no_mask(write_mask, crop, film_size):
    assert choose_mask([crop], film_size) is None
    assert choose_mask([], film_size) is None
    assert choose_mask([write_mask(20, 30), write_mask(21, 30, "second")], film_size) is None
