from pathlib import Path

import numpy as np
import pytest
from cbis_ddsm_tree import table_text

from medmask.converters.cbis_ddsm import read
from medmask.converters.cbis_ddsm.cases import TABLES
from medmask.converters.splits import assign_splits
from medmask.errors import InputError

ROWS = {
    "mass_case_description_train_set.csv": [
        # two lesions of one film, of both kinds of pathology; in the new layout, crop first
        {"folder": "Mass-Training_P_00001_LEFT_CC", "pathology": "MALIGNANT"},
        {"folder": "Mass-Training_P_00001_LEFT_CC", "pathology": "BENIGN", "number": "2"},
        # this patient is in the test part of the calcifications
        {"folder": "Mass-Training_P_00002_RIGHT_MLO", "pathology": "BENIGN"},
    ],
    "mass_case_description_test_set.csv": [
        # mask and crop in series of their own; the mask has another size and aspect
        {
            "folder": "Mass-Test_P_00145_LEFT_CC",
            "pathology": "MALIGNANT",
            "mask series": "1.2.3",
        },
    ],
    "calc_case_description_train_set.csv": [
        # the film of the first table once more
        {"folder": "Calc-Training_P_00001_LEFT_CC", "pathology": "MALIGNANT"},
        {"folder": "Calc-Training_P_00004_LEFT_CC", "pathology": "BENIGN_WITHOUT_CALLBACK"},
    ],
    "calc_case_description_test_set.csv": [
        {"folder": "Calc-Test_P_00002_LEFT_CC", "pathology": "BENIGN", "density": "0"},
    ],
}


@pytest.fixture
def add(write_dicom):
    """Writes a film, a crop or a mask at a path of the raw tree."""

    def write(path: str, kind: str, height: int = 50, width: int = 40) -> None:
        if kind == "mask":
            pixels = np.zeros((height, width), np.uint8)
            pixels[10:20, 5:15] = 255
        else:
            pixels = np.arange(height * width, dtype=np.uint16).reshape(height, width)
        write_dicom(pixels, name=f"raw/{path}")

    return write


@pytest.fixture
def raw(tmp_path, add) -> Path:
    """A raw tree in the layouts of several downloads, whose crops and masks are swapped."""
    root = tmp_path / "raw"
    root.mkdir()
    for name, rows in ROWS.items():
        (root / name).write_text(table_text(name[:4], rows))
    new, old = (
        "CBIS-DDSM/{}/07-20-2016-DDSM-NA-1/1.000000-{}-2/",
        "CBIS-DDSM/{}/07-20-2016-DDSM-1/1-{}-2/",
    )
    film, roi = "full mammogram images", "ROI mask images"

    add(new.format("Mass-Training_P_00001_LEFT_CC", film) + "1-1.dcm", "film")
    add(new.format("Mass-Training_P_00001_LEFT_CC_1", roi) + "1-1.dcm", "crop", 10, 10)
    add(new.format("Mass-Training_P_00001_LEFT_CC_1", roi) + "1-2.dcm", "mask")
    add(new.format("Mass-Training_P_00001_LEFT_CC_2", roi) + "1-1.dcm", "mask")
    add(new.format("Mass-Training_P_00001_LEFT_CC_2", roi) + "1-2.dcm", "crop", 10, 10)
    add(new.format("Calc-Training_P_00001_LEFT_CC", film) + "1-1.dcm", "film")
    add(new.format("Calc-Training_P_00001_LEFT_CC_1", roi) + "1-2.dcm", "mask")
    add(old.format("Mass-Training_P_00002_RIGHT_MLO", film) + "000000.dcm", "film")
    add(old.format("Mass-Training_P_00002_RIGHT_MLO_1", roi) + "000000.dcm", "crop", 10, 10)
    add(old.format("Mass-Training_P_00002_RIGHT_MLO_1", roi) + "000001.dcm", "mask")
    add(new.format("Mass-Test_P_00145_LEFT_CC", film) + "1-1.dcm", "film", 50, 20)
    add(new.format("Mass-Test_P_00145_LEFT_CC_1", roi) + "1-1.dcm", "mask", 44, 18)
    add(new.format("Mass-Test_P_00145_LEFT_CC_1", "cropped images") + "1-1.dcm", "crop", 9, 9)
    add("CBIS-DDSM/Calc-Training_P_00004_LEFT_CC/1.1.1/1.2.1/000000.dcm", "film")
    add("CBIS-DDSM/Calc-Training_P_00004_LEFT_CC_1/1.1.2/1.2.2/000000.dcm", "mask")
    add("CBIS-DDSM/Calc-Training_P_00004_LEFT_CC_1/1.1.2/1.2.2/000001.dcm", "crop", 9, 9)
    add(new.format("Calc-Test_P_00002_LEFT_CC", film) + "1-1.dcm", "film")
    add(new.format("Calc-Test_P_00002_LEFT_CC_1", roi) + "1-1.dcm", "mask")
    return root


def test_films(raw):
    contents = read(raw)
    assert contents.problems == []
    assert contents.left_out == []
    assert [path.name for path in contents.sources] == list(TABLES)
    images = {image.name: image for image in contents.images}
    assert list(images) == [
        "P_00001_LEFT_CC",
        "P_00002_LEFT_CC",
        "P_00002_RIGHT_MLO",
        "P_00004_LEFT_CC",
        "P_00145_LEFT_CC",
    ]
    both = images["P_00001_LEFT_CC"]
    assert (both.patient_id, both.laterality, both.view, both.density) == (
        "P_00001",
        "L",
        "CC",
        "3",
    )
    assert (both.birads, both.malignant) == ("4", True)


def test_masks_are_told_from_crops(raw):
    masks = {
        image.name: [str(lesion.mask.relative_to(raw / "CBIS-DDSM")) for lesion in image.lesions]
        for image in read(raw).images
    }
    assert [mask.split("/")[0] + "/" + mask[-7:] for mask in masks["P_00001_LEFT_CC"]] == [
        "Mass-Training_P_00001_LEFT_CC_1/1-2.dcm",
        "Mass-Training_P_00001_LEFT_CC_2/1-1.dcm",
        "Calc-Training_P_00001_LEFT_CC_1/1-2.dcm",
    ]
    assert masks["P_00002_RIGHT_MLO"][0].endswith("000001.dcm")
    assert "ROI mask images" in masks["P_00145_LEFT_CC"][0]
    assert masks["P_00004_LEFT_CC"][0].endswith("000000.dcm")


def test_pathology_is_that_of_each_lesion(raw):
    malignant = {i.name: [lesion.malignant for lesion in i.lesions] for i in read(raw).images}
    assert malignant["P_00001_LEFT_CC"] == [True, False, True]
    assert malignant["P_00004_LEFT_CC"] == [False]


def test_patients_of_both_parts_are_tested(raw):
    images = {image.name: image for image in read(raw).images}
    chosen, how = assign_splits(list(images.values()), seed=0)
    assert {name: "test" if split == "test" else "train" for name, split in chosen.items()} == {
        "P_00001_LEFT_CC": "train",
        "P_00002_LEFT_CC": "test",
        "P_00002_RIGHT_MLO": "test",
        "P_00004_LEFT_CC": "train",
        "P_00145_LEFT_CC": "test",
    }
    assert "all images of a patient in several of them (1 patient) are in the last" in how
    assert images["P_00002_RIGHT_MLO"].attributes["published_split"] == "train"


def test_incomplete_downloads(raw):
    film = next((raw / "CBIS-DDSM/Calc-Training_P_00004_LEFT_CC").rglob("*.dcm"))
    film.unlink()
    mask = next((raw / "CBIS-DDSM/Mass-Training_P_00002_RIGHT_MLO_1").rglob("000001.dcm"))
    mask.unlink()
    contents = read(raw)
    assert [image.name for image in contents.images] == [
        "P_00001_LEFT_CC",
        "P_00002_LEFT_CC",
        "P_00145_LEFT_CC",
    ]
    assert {left.name: left.reason for left in contents.left_out} == {
        "P_00002_RIGHT_MLO": "none of the files of Mass-Training_P_00002_RIGHT_MLO_1, or several, "
        "can be the mask of the lesion",
        "P_00004_LEFT_CC": "its DICOM file is missing (Calc-Training_P_00004_LEFT_CC)",
    }
    (no_film,) = contents.problems
    assert "1 folder is missing" in no_film
    assert "the first is Calc-Training_P_00004_LEFT_CC; complete the download" in no_film


def test_folder_of_mask_and_crop_that_is_missing(raw):
    for path in (raw / "CBIS-DDSM/Mass-Training_P_00002_RIGHT_MLO_1").rglob("*.dcm"):
        path.unlink()
    contents = read(raw)
    (left,) = contents.left_out
    assert left.reason == "its DICOM file is missing (Mass-Training_P_00002_RIGHT_MLO_1)"
    (problem,) = contents.problems
    assert "the first is Mass-Training_P_00002_RIGHT_MLO_1; complete the download" in problem


def test_all_tables_are_needed(raw):
    """Without the calcifications, a film of both kinds would lack a part of its lesions."""
    (raw / TABLES[2]).write_text((raw / TABLES[2]).read_text().replace("BENIGN", "?"))
    (raw / TABLES[3]).unlink()
    with pytest.raises(InputError) as error:
        read(raw)
    of_fault, of_absence = str(error.value).splitlines()
    assert f"{TABLES[2]}, line 5: its pathology" in of_fault
    assert f"has no {TABLES[3]}" in of_absence


def test_copies_of_different_size(raw, add):
    add(
        "CBIS-DDSM/Calc-Training_P_00001_LEFT_CC/07-20-2016-DDSM-NA-1/"
        "1.000000-full mammogram images-2/1-1.dcm",
        "film",
        51,
        40,
    )
    (left,) = read(raw).left_out
    assert left.name == "P_00001_LEFT_CC"
    assert "differ in size" in left.reason


def test_another_folder(tmp_path):
    with pytest.raises(InputError, match="has no DICOM files of CBIS-DDSM"):
        read(tmp_path)
