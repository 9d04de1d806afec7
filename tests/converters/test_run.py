"""The engine, on mini-MIAS in miniature and on folders of DICOM."""

import itertools
import json
import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pydicom
import pytest
from mini_mias_tree import many_films, write_mini_mias

from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.data.dataset_report import find_overlaps, inspect_dataset
from medmask.errors import InputError

OPTIONS = ConversionOptions(max_size=64)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_mini_mias(tmp_path_factory.mktemp("raw"), [*many_films(24), "mdb059 F CIRC B"])


@pytest.fixture(scope="module")
def converted(raw, tmp_path_factory):
    output = tmp_path_factory.mktemp("converted") / "mini_mias"
    return output, convert("mini_mias", raw, output, OPTIONS)


def read(output, name):
    return json.loads((output / "annotations" / name).read_text())


def test_tree_passes_the_check_of_data_sets(converted):
    output, report = converted
    assert not report.problems
    for suffix in ("", "_lesion"):
        reports = [
            inspect_dataset(
                split,
                output / "annotations" / f"instances_{split}{suffix}.json",
                output / "images",
                ["lesion" if suffix else "malignant"],
            )
            for split in ("train", "val", "test")
        ]
        assert [each.problems for each in reports] == [[], [], []]
        assert not any(find_overlaps(*pair) for pair in itertools.combinations(reports, 2))
        assert sum(len(each.file_names) for each in reports) == 24
        heldout = read(output, f"instances_heldout{suffix}.json")["images"]
        names = {image["file_name"] for image in heldout}
        assert names == {*reports[1].file_names, *reports[2].file_names}
        assert sum(each.num_lesions for each in reports) == (8 if suffix else 4)


def test_records_and_annotations(converted):
    output, report = converted
    content = read(output, "instances_all_lesion.json")
    assert report.files["instances_all_lesion.json"] == (24, 12, 8, 8)
    assert report.files["instances_all.json"] == (24, 12, 4, 4)
    image = content["images"][5]
    assert image == {
        "id": 6,
        "file_name": "mdb006.png",
        "width": 64,
        "height": 64,
        "patient_id": "mias003",
        "laterality": "L",
        "view": "MLO",
        "density": "fatty-glandular",
        "malignant": True,
        "lesion": True,
        "pixel_spacing_mm": 3.2,
    }
    annotation = content["annotations"][1]
    assert annotation["image_id"] == 6
    assert annotation["bbox"] == [28.88, 42.12, 6.25, 6.25]  # (512 - 50) / 16, (724 - 50) / 16
    assert annotation["malignant"] is True
    assert annotation["abnormality"] == "spiculated mass"
    ids = {i["file_name"]: i["id"] for i in content["images"]}
    for image in read(output, "instances_train.json")["images"]:
        assert ids[image["file_name"]] == image["id"]


def test_images_are_reduced_by_areas(raw, converted):
    output, _ = converted
    written = cv2.imread(str(output / "images" / "mdb003.png"), cv2.IMREAD_UNCHANGED)
    source = np.frombuffer((raw / "mdb003.pgm").read_bytes()[-(1024**2) :], np.uint8)
    expected = source.reshape(64, 16, 64, 16).mean(axis=(1, 3))
    assert written.dtype == np.uint8
    assert np.abs(written - expected).max() <= 0.5


def test_provenance(converted):
    output, report = converted
    content = json.loads((output / "provenance.json").read_text())
    assert content["left_out"] == [{"name": "mdb059", "reason": "its lesion has no position"}]
    assert [each.name for each in report.left_out] == ["mdb059"]
    (index,) = content["sources"]["index_files"]
    assert index["file"] == "Info.txt"
    assert len(index["sha256"]) == 64
    assert content["sources"]["images"] == 24
    assert content["options"] == {"max_size": 64, "link": False, "complete": False}
    assert "60 / 15 / 25" in content["annotation_files"]["instances_val.json"]["split"]


def test_contact_sheet_shows_the_boxes(converted):
    sheet = cv2.imread(str(converted[0] / "contact_sheet.png"))[:, :, ::-1]
    assert sheet.shape == (3 * 256, 8 * 240, 3)  # 24 images
    for color in ((255, 80, 60), (90, 220, 120)):
        assert (sheet == color).all(axis=-1).any()


def test_folds_are_added_and_images_left_alone(raw, converted):
    output, _ = converted
    before = {p: p.stat().st_mtime_ns for p in (output / "images").iterdir()}
    report = convert("mini_mias", raw, output, replace(OPTIONS, folds=3, labels=("lesion",)))
    assert {p: p.stat().st_mtime_ns for p in (output / "images").iterdir()} == before
    tests = [read(output, f"instances_fold{k}_test_lesion.json")["images"] for k in range(3)]
    patients = [{image["patient_id"] for image in images} for images in tests]
    assert [len(each) for each in patients] == [4, 4, 4]
    assert len(set.union(*patients)) == 12
    for k in range(3):
        train = read(output, f"instances_fold{k}_train_lesion.json")["images"]
        assert not patients[k] & {image["patient_id"] for image in train}
    assert "instances_fold0_test.json" not in report.files
    files = json.loads((output / "provenance.json").read_text())["annotation_files"]
    assert {"instances_fold0_test_lesion.json", "instances_train.json"} <= set(files)


def test_fewer_folds_leave_none_of_the_others(raw, tmp_path):
    output = tmp_path / "mini_mias"
    convert("mini_mias", raw, output, replace(OPTIONS, folds=5))
    convert("mini_mias", raw, output, replace(OPTIONS, folds=3, labels=("lesion",)))
    expected = {
        *(f"instances_fold{k}_{x}_lesion.json" for k in range(3) for x in ("train", "test")),
        *(f"instances_fold{k}_{x}.json" for k in range(5) for x in ("train", "test")),
        *("instances_all.json", "instances_all_lesion.json"),
    }
    assert {path.name for path in (output / "annotations").iterdir()} == expected
    told = json.loads((output / "provenance.json").read_text())["annotation_files"]
    assert set(told) == expected


def test_full_size_is_lossless_and_workers_change_nothing(raw, tmp_path):
    few = write_mini_mias(tmp_path / "raw", many_films(4), side=1024)
    convert("mini_mias", few, tmp_path / "one", ConversionOptions())
    convert("mini_mias", few, tmp_path / "two", ConversionOptions(workers=2))
    for name in ("images/mdb001.png", "annotations/instances_all_lesion.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pixels = cv2.imread(str(tmp_path / "one/images/mdb001.png"), cv2.IMREAD_UNCHANGED)
    assert pixels.tobytes() == (few / "mdb001.pgm").read_bytes()[-(1024**2) :]


def test_changed_and_lost_files_are_written_again(tmp_path):
    raw = write_mini_mias(tmp_path / "raw", many_films(3))
    output = tmp_path / "out"
    convert("mini_mias", raw, output, OPTIONS)
    first, second, third = (output / "images" / f"mdb00{n}.png" for n in (1, 2, 3))
    kept, content = third.stat().st_mtime_ns, second.read_bytes()
    first.unlink()
    second.write_bytes(b"torn")
    with (output / "images.jsonl").open("ab") as file:
        file.write(b'{"written": {"na')  # as a kill leaves it
    convert("mini_mias", raw, output, OPTIONS)
    assert first.is_file()
    assert second.read_bytes() == content
    assert third.stat().st_mtime_ns == kept
    halves = bytes(1024**2 // 2) + b"\xff" * (1024**2 // 2)
    (raw / "mdb003.pgm").write_bytes(b"P5\n1024 1024\n255\n" + halves)
    convert("mini_mias", raw, output, OPTIONS)
    written = cv2.imread(str(third))
    assert not written[:32].any()
    assert (written[32:] == 255).all()


def test_an_image_of_one_gray_level_is_left_out(tmp_path):
    raw = write_mini_mias(tmp_path / "raw", many_films(3))
    (raw / "mdb003.pgm").write_bytes(b"P5\n1024 1024\n255\n" + bytes(1024**2))
    report = convert("mini_mias", raw, tmp_path / "out", OPTIONS)
    assert report.files["instances_all.json"][0] == 2
    (problem,) = report.problems
    assert "mdb003.pgm has the same gray level everywhere" in problem


def test_damaged_images_are_left_out_and_told_at_the_end(tmp_path):
    raw = write_mini_mias(tmp_path / "raw", many_films(4), without=("mdb002",))
    (raw / "mdb003.pgm").write_bytes(b"P5\n1024 1024\n255\n")
    report = convert("mini_mias", raw, tmp_path / "out", OPTIONS)
    assert report.files["instances_all.json"][0] == 2
    assert [each.name for each in report.left_out] == ["mdb002", "mdb003"]
    assert "mdb002.pgm" in report.problems[0]
    assert "mdb003.pgm" in report.problems[1]


def test_provenance_of_another_form_is_refused(tmp_path):
    raw = write_mini_mias(tmp_path / "raw", many_films(3))
    output = tmp_path / "out"
    convert("mini_mias", raw, output, OPTIONS)
    for content in ("[]", '{"left_out_by_label": []}'):
        (output / "provenance.json").write_text(content)
        with pytest.raises(
            InputError, match=r"provenance\.json is of another form; remove the file"
        ):
            convert("mini_mias", raw, output, OPTIONS)


def test_other_settings_and_other_folders_are_refused(raw, converted, tmp_path):
    with pytest.raises(InputError, match=r"max_size=64, link=False, not .*max_size=None"):
        convert("mini_mias", raw, converted[0], ConversionOptions())
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="holds no conversion"):
        convert("mini_mias", raw, tmp_path, OPTIONS)
    with pytest.raises(InputError, match=r"raw folder .* does not exist"):
        convert("mini_mias", tmp_path / "nothing", tmp_path / "out", OPTIONS)
    with pytest.raises(InputError, match="has no converter; known are"):
        convert("mine", raw, tmp_path / "out", OPTIONS)
    with pytest.raises(InputError, match="is the raw folder itself"):
        convert("mini_mias", raw, raw.parent / "." / raw.name, OPTIONS)
    with pytest.raises(InputError, match="cannot be linked to"):
        convert("mini-mias", raw, tmp_path / "out", ConversionOptions(link=True))
    with pytest.raises(InputError, match="lesions mini-MIAS marks is known: leave --complete out"):
        convert("mini-mias", raw, tmp_path / "out", ConversionOptions(complete=True))


@pytest.fixture
def dicoms(tmp_path, write_dicom):
    """A folder of two DICOM files: MONOCHROME1 with padding, and one of 8 bits."""
    dark = np.arange(100, 2100, dtype=np.uint16).reshape(50, 40)
    dark[:5] = 4000
    write_dicom(
        dark,
        name="raw/a/1.dcm",
        BitsStored=12,
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=4000,
        WindowCenter=500,
        WindowWidth=100,
        RescaleSlope=0.5,
        RescaleIntercept=-7,
        PatientID="p1",
    )
    write_dicom(np.arange(200, dtype=np.uint8).reshape(20, 10), name="raw/2.dcm")
    return tmp_path / "raw"


def test_gray_levels_of_dicom_are_lossless(dicoms, tmp_path):
    report = convert("dicom-folder", dicoms, tmp_path / "out", ConversionOptions())
    assert report.files["instances_all.json"] == (2, 2, 0, 0)
    pixels = cv2.imread(str(tmp_path / "out/images/a/1.png"), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    expected = 4095 - np.arange(100, 2100).reshape(50, 40)
    expected[:5] = expected[5:].min()
    np.testing.assert_array_equal(pixels, expected)
    small = cv2.imread(str(tmp_path / "out/images/2.png"), cv2.IMREAD_UNCHANGED)
    assert small.dtype == np.uint8
    np.testing.assert_array_equal(small.ravel(), np.arange(200))


def test_links_lead_to_the_raw_files(dicoms, tmp_path):
    long_name = dicoms / ("n" * 251 + ".dcm")
    (dicoms / "2.dcm").rename(long_name)
    report = convert("dicom_folder", dicoms, tmp_path / "out", ConversionOptions(link=True))
    assert not report.problems
    link = tmp_path / "out/images/a/1.dcm"
    assert link.is_symlink()
    assert link.resolve() == (dicoms / "a/1.dcm").resolve()
    assert (tmp_path / "out/images" / long_name.name).resolve() == long_name.resolve()
    json_file = tmp_path / "out/annotations/instances_all.json"
    check = inspect_dataset("links", json_file, tmp_path / "out/images")
    assert not check.problems
    assert len(check.file_names) == 2


def test_nothing_to_convert(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        convert("dicom_folder", tmp_path / "raw", tmp_path / "out", ConversionOptions())


def test_all_images_left_out(tmp_path, write_dicom):
    write_dicom(np.zeros((3, 9, 9), np.uint16), name="raw/a.dcm")
    with pytest.raises(InputError, match=r"left out: 1, the first, a, because it holds 3 frames"):
        convert("dicom_folder", tmp_path / "raw", tmp_path / "out", OPTIONS)


def test_linked_image_that_cannot_be_decoded_is_told_and_costs_no_other(dicoms, tmp_path):
    output = tmp_path / "out"
    faulty = pydicom.dcmread(dicoms / "a/1.dcm")
    faulty.WindowCenter, faulty.WindowWidth = 100, 0.5
    faulty.save_as(dicoms / "a/1.dcm")
    report = convert("dicom_folder", dicoms, output, ConversionOptions(link=True))
    (problem,) = report.problems
    assert "Window Width" in problem
    images = read(output, "instances_all.json")["images"]
    assert len(images) == report.files["instances_all.json"][0] == 2
    assert (output / "contact_sheet.png").is_file()
    assert json.loads((output / "provenance.json").read_text())["problems"] == [problem]


def test_too_many_folds_are_refused_before_the_work(dicoms, tmp_path):
    with pytest.raises(InputError, match="there are 2: lower --folds"):
        convert("dicom_folder", dicoms, tmp_path / "out", replace(OPTIONS, folds=3))
    assert not (tmp_path / "out").exists()


def test_links_are_not_written_into_what_is_read(dicoms, tmp_path):
    (tmp_path / "alias").symlink_to(dicoms)
    for output in (dicoms / "out", tmp_path / "alias" / "out"):
        with pytest.raises(InputError, match="is in the raw folder, where the links would be"):
            convert("dicom_folder", dicoms, output, ConversionOptions(link=True))
        assert not output.exists()


def test_names_that_are_no_unicode(dicoms, tmp_path):
    raw = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(dicoms, raw)
    (raw / "2.dcm").rename(raw / os.fsdecode(b"l\xe9sion.dcm"))
    (raw / os.fsdecode(b"tronqu\xe9.dcm")).write_bytes(b"")
    for options in (OPTIONS, OPTIONS, replace(OPTIONS, labels=("lesion",))):
        report = convert("dicom_folder", raw, tmp_path / "out", options)
        assert len(report.problems) == 1
    check = inspect_dataset(
        "names", tmp_path / "out/annotations/instances_all.json", tmp_path / "out/images"
    )
    assert not check.problems
    assert any("l\ufffdsion" in name for name in check.file_names)
