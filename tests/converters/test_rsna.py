"""RSNA screening: labels of breasts, no boxes; files of all kinds that the set holds."""

import struct

import cv2
import numpy as np
import pytest
from image_files import DEEP, PIXELS, SYNTAXES, compressed_frame, dicom_file, radiograph
from raw_tables import write_csv

from medmask.converters.contract import MarkedLesions
from medmask.converters.options import ConversionOptions
from medmask.converters.rsna import CONVERTER, read
from medmask.converters.run import convert
from medmask.data.dataset_dicts import load_coco
from medmask.data.dataset_report import inspect_dataset
from medmask.errors import InputError


def row_of(image_id: int, **changes) -> dict:
    row = {
        "site_id": 2,
        "patient_id": 10006,
        "image_id": image_id,
        "laterality": "L",
        "view": "CC",
        "age": 61.0,
        "cancer": 0,
        "biopsy": 0,
        "invasive": 0,
        "BIRADS": None,
        "implant": 0,
        "density": None,
        "machine_id": 29,
        "difficult_negative_case": False,
    }
    return row | changes


@pytest.fixture
def write_set(tmp_path, write_dicom):
    """Writes a set with the images of all rows but those in ``without``."""

    def write(*rows: dict, without: tuple[int, ...] = ()):
        write_csv(tmp_path / "train.csv", *rows)
        for row in rows:
            if row["image_id"] in without:
                continue
            name = f"train_images/{row['patient_id']}/{row['image_id']}.dcm"
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            write_dicom(np.arange(20, dtype=np.uint16).reshape(4, 5), name=name)
        return tmp_path

    return write


def test_a_table_that_is_cut_off(write_set):
    raw = write_set(row_of(1), row_of(2, laterality="X"), row_of(3))
    table = raw / "train.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:3]))
    contents = read(raw)
    assert [image.name for image in contents.images] == ["10006/1"]
    side, unlisted = contents.problems
    assert "line 3: its laterality" in side
    assert "1 image, the first is" in unlisted
    assert "10006/3.dcm; the table may be cut off" in unlisted


def test_images_carry_what_the_table_says(write_set):
    site_1 = {"site_id": 1, "BIRADS": 0.0, "density": "C", "implant": 1.0, "age": None}
    raw = write_set(
        row_of(462822612, laterality="R", view="MLO", cancer=1, biopsy=1, invasive=1),
        row_of(7, patient_id=5, difficult_negative_case=True, view="LMO", **site_1),
    )
    contents = read(raw)
    assert CONVERTER.marked is MarkedLesions.NONE
    assert not contents.problems
    assert not contents.left_out
    assert contents.sources == [raw / "train.csv"]
    first, second = contents.images
    assert first.path == raw / "train_images/10006/462822612.dcm"
    assert (first.name, first.patient_id) == ("10006/462822612", "10006")
    assert (first.laterality, first.view, first.malignant) == ("R", "MLO", True)
    assert (first.density, first.birads, first.scanner) == (None, None, "machine 29")
    assert first.lesions == ()
    assert first.split is None
    assert first.attributes["invasive"] is True
    assert first.attributes["age"] == 61
    assert (second.malignant, second.density, second.birads) == (False, "C", "0")
    assert second.attributes["implant"] is True
    assert second.attributes["difficult_negative_case"] is True
    assert "age" not in second.attributes


def test_missing_files_are_left_out_and_told_in_one_sentence(write_set):
    raw = write_set(row_of(1), row_of(2), row_of(3), without=(2, 3))
    contents = read(raw)
    assert [image.name for image in contents.images] == ["10006/1"]
    assert [left.name for left in contents.left_out] == ["10006/2", "10006/3"]
    (problem,) = contents.problems
    assert problem.startswith(f"missing: 2 of the 3 images of {raw / 'train.csv'}")
    assert "train_images/10006/2.dcm" in problem


def test_files_that_are_known_to_be_unusable_are_left_out(write_set):
    raw = write_set(row_of(1, patient_id=27770), row_of(1942326353, patient_id=822), row_of(3))
    contents = read(raw)
    assert not contents.problems
    assert [image.name for image in contents.images] == ["10006/3"]
    assert [(left.name, left.reason) for left in contents.left_out] == [
        ("27770/1", "its gray levels take more bits than its header states"),
        ("822/1942326353", "all of its pixels are zero"),
    ]


def test_all_faulty_rows_are_told(write_set):
    raw = write_set(row_of(1, laterality="X"), row_of(2, cancer="yes"), row_of(3))
    contents = read(raw)
    assert [image.name for image in contents.images] == ["10006/3"]
    assert [left.name for left in contents.left_out] == ["train.csv, line 2", "train.csv, line 3"]
    assert len(contents.problems) == 2
    assert "line 2: its laterality 'X'" in contents.problems[0]
    assert "line 3: its cancer 'yes'" in contents.problems[1]


def test_a_row_without_a_label_is_a_problem(write_set):
    contents = read(write_set(row_of(1, cancer=None)))
    assert not contents.images
    assert "its cancer is empty" in contents.problems[0]


def test_another_folder_and_another_table(tmp_path):
    with pytest.raises(InputError, match=r"has no train\.csv"):
        CONVERTER.read(tmp_path)
    write_csv(tmp_path / "train.csv", {"id": 1, "label": 0})
    with pytest.raises(
        InputError, match="no column patient_id, image_id, laterality, view, cancer"
    ):
        CONVERTER.read(tmp_path)


def compressed(pixels: np.ndarray, syntax: str) -> bytes:
    """A DICOM file of 12 bits with compressed pixels."""
    frame = compressed_frame(pixels, syntax, 12)
    fragments = (b"", frame + bytes(len(frame) % 2))
    value = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(part)) + part for part in fragments)
    value += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    elements = radiograph() | {PIXELS: ("OB", value)}
    return dicom_file(elements, SYNTAXES[syntax].encode())


def test_files_of_all_kinds_become_a_sound_tree(write_set, write_dicom, tmp_path):
    """JPEG lossless and JPEG 2000, several windows, MONOCHROME1; blank and faulty ones are told."""
    pytest.importorskip("openjpeg")
    rows = [row_of(number, patient_id=number, cancer=number % 2) for number in range(1, 8)]
    raw = write_set(*rows)
    files = [raw / f"train_images/{number}/{number}.dcm" for number in range(1, 8)]
    files[0].write_bytes(compressed(DEEP, "JPEGLosslessProcess14_1"))
    files[1].write_bytes(compressed(DEEP, "JPEG2000Lossless"))
    windows = {"WindowCenter": [2000, 1000], "WindowWidth": [500, 900], "BitsStored": 12}
    kinds = [
        (DEEP, {**windows, "VOILUTFunction": "SIGMOID"}),
        (DEEP, {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12}),
        (DEEP, {"PixelPaddingValue": int(DEEP[0, 0]), "BitsStored": 12}),
        (np.zeros_like(DEEP), {}),
        (DEEP * np.uint16(15), {"BitsStored": 12}),
    ]
    for file, (pixels, elements) in zip(files[2:], kinds, strict=True):
        write_dicom(pixels, name=str(file.relative_to(tmp_path)), **elements)

    output = tmp_path / "rsna"
    report = convert("rsna", raw, output, ConversionOptions(folds=2))
    assert [left.name for left in report.left_out] == ["6/6", "7/7"]
    blank, overflowing = report.problems
    assert "has the same gray level everywhere" in blank
    assert "its Bits Stored is 12, which is not enough" in overflowing
    written = [
        cv2.imread(str(output / f"images/{n}/{n}.png"), cv2.IMREAD_UNCHANGED) for n in range(1, 6)
    ]
    for pixels in written[:3]:
        np.testing.assert_array_equal(pixels, DEEP)
    np.testing.assert_array_equal(written[3], 4095 - DEEP)
    is_padding = DEEP[0, 0] == DEEP
    darkest = DEEP[~is_padding].min()
    np.testing.assert_array_equal(written[4], np.where(is_padding, darkest, DEEP))

    json_file = output / "annotations/instances_all.json"
    sound = inspect_dataset("rsna", json_file, output / "images", ["malignant"])
    assert not sound.problems
    assert (len(sound.file_names), sound.num_lesions, len(sound.patients)) == (5, 0, 5)
    dataset_dicts = load_coco(json_file, output / "images", ["malignant"])
    assert [x["malignant"] for x in dataset_dicts] == [True, False, True, False, True]
    assert not any(x["annotations"] for x in dataset_dicts)
