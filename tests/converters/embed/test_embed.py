"""EMBED: joins by patient, exam and side; regions without findings, on the wrong side too."""

import logging
from pathlib import Path

import numpy as np
import pytest
from raw_tables import write_csv

from medmask.converters.embed import CONVERTER, read, read_pixels
from medmask.errors import InputError

WIDTH, HEIGHT = 40, 50


def image_of(name: str, **changes) -> dict:
    """A row of the metadata table; the file is below the cohort's folder."""
    row = {
        "empi_anon": 11,
        "acc_anon": 22,
        "anon_dicom_path": f"/mnt/NAS3/mammo/anon_dicom/cohort_1/11/study/series/{name}.dcm",
        "study_date_anon": "2015-04-16 00:00:00",
        "FinalImageType": "2D",
        "ImageLateralityFinal": "R",
        "ViewPosition": "CC",
        "spot_mag": None,
        "Manufacturer": "HOLOGIC, Inc.",
        "ManufacturerModelName": "Selenia Dimensions",
        "num_roi": 0,
        "ROI_coords": "()",
    }
    return row | changes


def finding_of(side: str | None, **changes) -> dict:
    row = {"empi_anon": 11, "acc_anon": 22, "numfind": 1, "side": side, "asses": "N"}
    return row | {"tissueden": 2, "path_severity": None, "bside": None, "massshape": None} | changes


@pytest.fixture
def write_set(tmp_path, write_dicom):
    """Writes a set; the breast of every image is on the right, as in a right CC view."""

    def write(images: list[dict], findings: list[dict], reduced: str = "", **elements) -> Path:
        write_csv(tmp_path / f"tables/EMBED_OpenData_metadata{reduced}.csv", *images)
        write_csv(tmp_path / f"tables/EMBED_OpenData_clinical{reduced}.csv", *findings)
        pixels = np.zeros((HEIGHT, WIDTH), np.uint16)
        pixels[:, WIDTH // 2 :] = np.arange(1000, 1000 + WIDTH // 2)
        for row in images:
            name = f"images/cohort_1/{row['anon_dicom_path'].split('cohort_1/')[1]}"
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            write_dicom(pixels, name=name, **{"PatientOrientation": ["P", "L"]} | elements)
        return tmp_path

    return write


@pytest.mark.parametrize("reduced", ["", "_reduced"])
def test_images_carry_what_the_tables_say(write_set, reduced):
    raw = write_set(
        [image_of("a"), image_of("b", ImageLateralityFinal="L", ViewPosition="MLO")],
        [finding_of("R", asses="S", path_severity=0, tissueden=3), finding_of("L")],
        reduced,
    )
    contents = read(raw)
    assert not contents.problems
    first, second = contents.images
    assert first.path == raw / "images/cohort_1/11/study/series/a.dcm"
    assert (first.name, first.patient_id) == ("11/22/a", "11")
    assert (first.laterality, first.view, first.study_date) == ("R", "CC", "2015-04-16")
    assert (first.density, first.birads, first.malignant) == ("C", "4", True)
    assert first.scanner == "HOLOGIC, Inc. Selenia Dimensions"
    assert (second.density, second.birads, second.malignant) == ("B", "1", False)


def test_only_breasts_of_birads_1_are_known_to_show_no_lesion(write_set):
    """Regions are those of some findings alone."""
    raw = write_set(
        [image_of("a"), image_of("b", acc_anon=23), image_of("c", acc_anon=24)],
        [
            *(finding_of("R"), finding_of("R", acc_anon=23, asses="B")),
            *(finding_of("R", acc_anon=23), finding_of("L", acc_anon=24)),
        ],
    )
    assert [image.lesion for image in read(raw).images] == [False, None, None]


@pytest.mark.parametrize("side", ["B", None])
def test_findings_of_both_sides_belong_to_all_images(write_set, side):
    raw = write_set(
        [image_of("a"), image_of("b", ImageLateralityFinal="L")],
        [finding_of(side, asses="M", path_severity=1)],
    )
    assert [image.malignant for image in read(raw).images] == [True, True]


def test_findings_of_another_exam_or_patient_do_not_count(write_set):
    findings = [finding_of("R"), finding_of("R", acc_anon=23, path_severity=0)]
    findings.append(finding_of("R", empi_anon=12, path_severity=0))
    assert read(write_set([image_of("a")], findings)).images[0].malignant is False


def test_what_is_no_whole_digital_mammogram_is_left_out(write_set):
    raw = write_set(
        [image_of("a", FinalImageType="cview"), image_of("b", spot_mag=1.0), image_of("c")],
        [finding_of("R")],
    )
    contents = read(raw)
    assert [image.name for image in contents.images] == ["11/22/c"]
    assert [(left.name, left.reason) for left in contents.left_out] == [
        ("11/22/a", "it is of the type cview, not a digital mammogram (2D)"),
        ("11/22/b", "it shows a part of the breast, compressed or magnified"),
    ]
    assert not contents.problems


def test_regions_of_mirrored_pictures_are_mirrored_back(write_set):
    rows = [image_of("a", ROI_coords="((10, 2, 20, 8), (30, 5, 35, 15))")]
    findings = [finding_of("R", asses="S", path_severity=4, massshape="O")]
    first, second = read(write_set(rows, findings)).images[0].lesions
    assert first.box == (WIDTH - 8, 10, WIDTH - 2, 20)
    assert second.box == (WIDTH - 15, 30, WIDTH - 5, 35)
    assert first.malignant is False
    assert first.attributes == {"types_in_breast": ["mass"]}


def test_regions_of_other_pictures_stay(write_set):
    rows = [image_of("a", ROI_coords="((10, 22, 20, 28),)")]
    raw = write_set(rows, [finding_of("R")], PatientOrientation=["A", "R"])
    assert read(raw).images[0].lesions[0].box == (22, 10, 28, 20)


def test_regions_in_pixels_of_the_dicom_files_go_first(write_set):
    regions = {"ROI_coords": "[[[10, 2, 20, 8]]]", "DCM_ROI_coords": "[[[10, 31, 20, 37]]]"}
    raw = write_set([image_of("a", **regions)], [finding_of("R")])
    assert read(raw).images[0].lesions[0].box == (31, 10, 37, 20)


def test_regions_on_the_wrong_side_are_refused(write_set):
    rows = [
        image_of("a", ROI_coords="((10, 2, 20, 8),)"),
        image_of("b", ROI_coords="((1, 32, 9, 38),)"),
    ]
    sound, wrong = read(write_set(rows, [finding_of("R")])).images
    assert read_pixels(sound).shape == (HEIGHT, WIDTH)
    with pytest.raises(InputError, match=r"b\.dcm has a region \(2, 1, 8, 9\) in its empty part"):
        read_pixels(wrong)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ROI_coords": "((1, 2, 3),)"}, "is no list of boxes"),
        ({"ROI_coords": "((60, 2, 70, 8),)"}, "has a region outside of its image of 40 x 50"),
        ({"ImageLateralityFinal": "X"}, "its ImageLateralityFinal 'X' is none of"),
        ({"FinalImageType": None}, "its FinalImageType is empty"),
    ],
    ids=range(4),
)
def test_faulty_rows_are_told(write_set, changes, words):
    raw = write_set([image_of("a", **changes), image_of("b")], [finding_of("R")])
    contents = read(raw)
    assert [image.name for image in contents.images] == ["11/22/b"]
    assert [left.name for left in contents.left_out] == ["EMBED_OpenData_metadata.csv, line 2"]
    assert words in contents.problems[0]


@pytest.mark.parametrize(
    "path", ["images/11/a.dcm", "cohort_1/../../a.dcm", f"cohort_1/{'a' * 300}.dcm"]
)
def test_paths_out_of_the_download_are_refused(write_set, path):
    raw = write_set([image_of("a")], [finding_of("R")])
    write_csv(raw / "tables/EMBED_OpenData_metadata.csv", image_of("a", anon_dicom_path=path))
    assert "is no path in a folder such as cohort_1" in read(raw).problems[0]


def test_missing_files(write_set):
    raw = write_set([image_of("a"), image_of("b")], [finding_of("R")])
    (raw / "images/cohort_1/11/study/series/b.dcm").unlink()
    contents = read(raw)
    assert [(left.name, left.reason) for left in contents.left_out] == [
        ("11/22/b", "its file is missing")
    ]
    assert "1 of the 2 images of" in contents.problems[0]


def test_exams_without_findings(write_set, caplog):
    raw = write_set([image_of("a"), image_of("b", acc_anon=99)], [finding_of("R")])
    with caplog.at_level(logging.WARNING, "medmask.converters.embed"):
        contents = read(raw)
    assert [image.malignant for image in contents.images] == [False, None]
    assert "no row for the exams of 1 image, such as patient 11, exam 99" in caplog.text
    assert not contents.problems


def test_tables_that_do_not_join(write_set):
    raw = write_set([image_of("a")], [finding_of("R", acc_anon="2.2e1")])
    assert "take both tables of one release" in read(raw).problems[0]


def test_folders_and_tables_that_are_not_the_set(tmp_path, write_set):
    with pytest.raises(InputError, match=r"EMBED_OpenData_metadata\.csv or .*_reduced\.csv"):
        CONVERTER.read(tmp_path)
    row = image_of("a")
    del row["ROI_coords"]
    with pytest.raises(InputError, match="has no column ROI_coords or DCM_ROI_coords"):
        CONVERTER.read(write_set([row], [finding_of("R")]))
