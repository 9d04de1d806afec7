"""Every value means one thing, whoever reads the file."""

import json
from pathlib import Path

import numpy as np
import pytest

from medmask.data.dataset_dicts import load_coco
from medmask.data.dataset_report import inspect_dataset
from medmask.errors import InputError
from medmask.evaluation import read_ground_truth

CASES = Path(__file__).parents[3] / "shared" / "cases" / "annotations"
NAN = float("nan")


@pytest.fixture
def read_by_all(write_tree):
    """Read a file as the loader, the checker and the evaluation do; all must agree on it.

    Gives the loader's records and the ground truth of the evaluation; raises what the loader does.
    """

    def read(content):
        json_file, image_root = write_tree(content)
        problems = inspect_dataset("mine", json_file, image_root).problems
        try:
            records = load_coco(json_file, image_root, ["malignant"])
        except InputError:
            assert problems
            with pytest.raises(InputError):
                read_ground_truth(json_file)
            raise
        assert problems == []
        truth = read_ground_truth(json_file)
        assert truth.image_ids == tuple(record["image_id"] for record in records)
        assert truth.patients == tuple(record.get("patient_id") for record in records)
        assert truth.lateralities == tuple(record.get("laterality") for record in records)
        loaded = np.array([a["bbox"] for record in records for a in record["annotations"]])
        loaded[:, 2:] += loaded[:, :2]
        order = np.argsort(truth.image_indices, kind="stable")
        np.testing.assert_array_equal(truth.boxes[order], loaded)
        crowd = [a["iscrowd"] for record in records for a in record["annotations"]]
        assert truth.is_crowd[order].tolist() == [flag == 1 for flag in crowd]
        return records, truth

    return read


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (None, None),
        (NAN, None),
        ("nan", None),
        ("NaN", None),
        ("None", None),
        ("  ", None),
        ("", None),
        (" P7 ", "P7"),
        (7, 7),
        (7.0, 7),
        ("7", "7"),
        ("Nancy", "Nancy"),
    ],
)
def test_patients(coco_content, read_by_all, told, meant):
    coco_content["images"][0]["patient_id"] = told
    assert read_by_all(coco_content)[1].patients == (meant, "P0", "P1")


@pytest.mark.parametrize(
    ("told", "meant"),
    [("R", "R"), (" left", "L"), ("RIGHT", "R"), ("B", None), (NAN, None), (None, None)],
)
def test_lateralities(coco_content, read_by_all, told, meant):
    coco_content["images"][0]["laterality"] = told
    assert read_by_all(coco_content)[1].lateralities == (meant, "L", "L")


def test_other_fields_that_are_not_given_are_left_out(coco_content, read_by_all):
    coco_content["images"][0].update(view=NAN, age=None, site=2, pixel_spacing_mm="", density=" ")
    coco_content["annotations"][0]["id"] = ""  # annotations need none
    record = read_by_all(coco_content)[0][0]
    assert not {"view", "age", "pixel_spacing_mm", "density"} & set(record)
    assert record["site"] == 2


@pytest.mark.parametrize(
    ("told", "meant"),
    [(0, 0), (1, 1), (0.0, 0), (1.0, 1), (False, 0), (True, 1), (None, 0), (NAN, 0), ("", 0)],
)
def test_crowds(coco_content, read_by_all, told, meant):
    coco_content["annotations"][0]["iscrowd"] = told
    assert read_by_all(coco_content)[0][0]["annotations"][0]["iscrowd"] == meant


def test_whole_numbers_may_be_floats(coco_content, read_by_all):
    image, annotation = coco_content["images"][0], coco_content["annotations"][0]
    image.update(id=1.0, width=100.0, height=80.0)
    annotation.update(id=11.0, image_id=1.0, category_id=7.0)
    coco_content["categories"][0]["id"] = 7.0
    records, truth = read_by_all(coco_content)
    assert [type(records[0][key]) for key in ("image_id", "width", "height")] == [int] * 3
    assert truth.category_ids == (7,)
    assert type(truth.category_ids[0]) is int


def test_what_no_reader_needs_may_be_absent(coco_content, read_by_all):
    for annotation in coco_content["annotations"]:
        for field in ("id", "area", "iscrowd"):
            del annotation[field]
    coco_content["annotations"][0].update(id=0, area="large")
    assert len(read_by_all(coco_content)[1].boxes) == 3


def test_boxes_are_clipped_alike(coco_content, read_by_all):
    coco_content["annotations"][0]["bbox"] = [-0.3, 70.1, 9.7, 10.3]
    coco_content["annotations"][1]["bbox"] = [99.3, 0.7, 0.1, 0.2]
    truth = read_by_all(coco_content)[1]
    np.testing.assert_array_equal(truth.boxes[0], [0, 70.1, 9.7 - 0.3, 70.1 + (80 - 70.1)])
    np.testing.assert_array_equal(truth.boxes[1], [99.3, 0.7, 99.3 + 0.1, 0.7 + 0.2])


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("images", "patient_id", ["p"]),
        ("images", "patient_id", {"p": 1}),
        ("images", "patient_id", 10**400),
        ("images", "laterality", 3),
        ("images", "laterality", "X"),
        ("images", "id", True),
        ("images", "id", 1.5),
        ("images", "width", 99.5),
        ("annotations", "id", True),
        ("annotations", "id", 12),
        ("annotations", "iscrowd", "0"),
        ("annotations", "iscrowd", 2),
        ("annotations", "image_id", "1"),
        ("annotations", "category_id", "7"),
        ("annotations", "category_id", True),
        ("annotations", "bbox", [0, 0, 10**400, 1]),
        ("annotations", "bbox", [500, 0, 10, 10]),
        ("categories", "id", "7"),
        ("categories", "name", 7),
    ],
)
def test_all_refuse_alike(coco_content, write_tree, kind, field, value):
    json_file, image_root = write_tree(coco_content)
    coco_content[kind][0][field] = value
    json_file.write_text(json.dumps(coco_content))
    assert inspect_dataset("mine", json_file, image_root).problems
    with pytest.raises(InputError):
        load_coco(json_file, image_root)
    with pytest.raises(InputError):
        read_ground_truth(json_file)


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
def test_shared_cases(write_tree):
    for path in CASES.glob("*.json"):
        _, image_root = write_tree(json.loads(path.read_text()), "unused.json")
        if path.stem.endswith("patient_list"):
            with pytest.raises(InputError, match=r"its patient_id \[\"p\"\] is neither text"):
                load_coco(path, image_root, ["malignant"])
        else:
            assert load_coco(path, image_root, ["malignant"])
