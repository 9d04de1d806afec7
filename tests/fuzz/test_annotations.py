"""Damaged annotation files: checker, loader and evaluation agree on each, and invent nothing."""

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign import REFUSED, RIGHT, run_campaign, seeds
from isolation import assert_accepted, call
from mutations import damage_bytes, damage_json, to_json_bytes
from PIL import Image

from medmask.data import register_coco_dataset
from medmask.data.dataset_dicts import load_coco
from medmask.data.dataset_report import inspect_dataset
from medmask.errors import InputError
from medmask.evaluation import (
    AveragePrecisionEvaluator,
    Detections,
    FROCEvaluator,
    GroundTruth,
    average_precision,
    evaluate_detections,
    ground_truth_of,
    read_ground_truth,
)

SIZE = 64
CLASSES = ["malignant"]
NOT_GIVEN = (None, "", "nan", "none", "null", "nat", "<na>")


def sound_content() -> dict[str, Any]:
    """Six images of three patients; the ids of images and annotations overlap."""
    images = [
        {
            "id": number,
            "file_name": f"{'ab'[number % 2]}/{number // 2}.png",
            "width": SIZE,
            "height": SIZE,
            "patient_id": f"P{number // 2}",
            "laterality": "LR"[number % 2],
            "view": "CC",
        }
        for number in range(1, 7)
    ]
    boxes = [[4, 4, 20, 10], [30.5, 30, 20, 20], [0, 0, 64, 64], [10, 40, 12.25, 14]]
    annotations = [
        {
            "id": number + 1,
            "image_id": (number % 3) + 1,
            "category_id": 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": int(number == 2),
        }
        for number, box in enumerate(boxes)
    ]
    categories = [{"id": 1, "name": "mal"}, {"id": 2, "name": "benign"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture(scope="module")
def image_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for image in sound_content()["images"]:
        path = root / image["file_name"]
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((SIZE, SIZE), 100, np.uint8)).save(path)
    return root


def damage(content: dict[str, Any], choose: random.Random) -> bytes:
    """A file that somebody may have: edited, converted, cut off, or hostile."""
    kind = choose.choice(["values", "values", "values", "meaning", "meaning", "bytes", "text"])
    if kind == "values":
        return to_json_bytes(damage_json(content, choose, choose.choice((1, 1, 2, 3))))
    if kind == "meaning":
        content = copy.deepcopy(content)
        choose.choice(_MEANINGS)(content, choose)
        return to_json_bytes(content)
    if kind == "bytes":
        return damage_bytes(to_json_bytes(content), choose)
    return choose.choice(_TEXTS)(to_json_bytes(content).decode(), choose)


def _set(kind: str, field: str, *values: Any):
    def change(content: dict[str, Any], choose: random.Random) -> None:
        value = choose.choice(values)
        records = content[kind]
        for record in choose.choice((records, [choose.choice(records)])):
            record[field] = value(record.get(field)) if callable(value) else value

    return change


def _swap_ids(content: dict[str, Any], choose: random.Random) -> None:
    first, second = choose.sample(content[choose.choice(["images", "annotations"])], 2)
    first["id"], second["id"] = second["id"], first["id"]


def _repeat_record(content: dict[str, Any], choose: random.Random) -> None:
    records = content[choose.choice(list(content))]
    records.append(dict(choose.choice(records)))


def _lower_left(content: dict[str, Any], choose: random.Random) -> None:
    for annotation in content["annotations"]:
        annotation["bbox"][1] += annotation["bbox"][3]


_NUMBERS = (str, float, lambda v: v + 0.5, lambda v: -v, lambda v: 10**400, bool, lambda v: [v])
_MEANINGS = (
    _set("images", "patient_id", math.nan, None, "nan", "", 7, 7.0, ["p"], True, " P1 "),
    _set("images", "laterality", math.nan, None, "left", "X", 3, "B", ["L"]),
    _set("images", "id", *_NUMBERS),
    _set("images", "width", *_NUMBERS),
    _set("images", "file_name", "/etc/passwd", "../a/1.png", "a", "x" * 300, "\0", "a\\1.png", "."),
    _set("images", "view", math.nan, [[[[]]]], {"a": {"b": None}}),
    _set("annotations", "iscrowd", False, True, None, math.nan, 1.0, "0", 2, [0]),
    _set("annotations", "area", None, "x", -1, math.nan),
    _set("annotations", "id", 0, None, math.nan, *_NUMBERS),
    _set("annotations", "image_id", *_NUMBERS),
    _set("annotations", "category_id", 2, *_NUMBERS),
    _set("annotations", "bbox", [-0.5, -1, 30, 30], [60, 60, 4.5, 5], [1e308, 0, 1e308, 1], "x"),
    _set("categories", "name", "benign", "1", "cancer", "Malignant ", None, 5),
    _set("categories", "id", *_NUMBERS),
    _swap_ids,
    _repeat_record,
    _lower_left,
)


def _repeat_key(text: str, choose: random.Random) -> bytes:
    key = choose.choice(['"id": 1', '"images": []', '"iscrowd": 1', '"bbox": [1, 1, 1, 1]'])
    at = choose.choice([i for i, letter in enumerate(text) if letter == "{"])
    return f"{text[: at + 1]}{key}, {text[at + 1 :]}".encode()


def _nest(text: str, choose: random.Random) -> bytes:
    depth = choose.choice((30, 500, 50_000))
    return text.replace('"CC"', "[" * depth + "]" * depth, 1).encode()


def _encode(text: str, choose: random.Random) -> bytes:
    return text.encode(choose.choice(["utf-8-sig", "utf-16", "utf-32-le", "utf-7", "cp037"]))


def _put(text: str, choose: random.Random) -> bytes:
    value = choose.choice(["1" * 400, "1" * 6000, "NaN", "-Infinity", '"\\ud800"', "1e999", "--1"])
    return text.replace(choose.choice(["64", "1", '"CC"', "30.5"]), value, 1).encode()


def _replace_all(text: str, choose: random.Random) -> bytes:
    return choose.choice([b"", b" ", b"null", b"[]", b"{}", b"5", b'"x"', text.encode() * 2])


_TEXTS = (_repeat_key, _nest, _encode, _put, _replace_all)


def judge(json_file: Path, image_root: Path) -> str:
    """Read a file in every way; runs in a child process.

    Returns:
        REFUSED, if all refused it; else RIGHT, after a whole evaluation.
    """
    problems = inspect_dataset("damaged", json_file, image_root, CLASSES).problems
    # A loader looks at an image when it reads it, and at each annotation by itself.
    by_checker_alone = ("on disk, but", " has the box and the category of ", " contradicts: ")
    if problems and all(any(x in problem for x in by_checker_alone) for problem in problems):
        return REFUSED
    if problems:
        with pytest.raises(InputError):
            load_coco(json_file, image_root, CLASSES)
        _check_that_evaluation_refuses(json_file, problems)
        return REFUSED
    records = load_coco(json_file, image_root, CLASSES)
    truth = read_ground_truth(json_file)
    content = json.loads(json_file.read_bytes())
    assert len(truth.image_ids) == len(records) == len(content["images"])
    _check_images(truth, records, content)
    _check_boxes(truth, content)
    _evaluate(truth, json_file, image_root)
    return RIGHT


def _check_that_evaluation_refuses(json_file: Path, problems: list[str]) -> None:
    """It takes only what lacks nothing but images, their names and sizes, or the right classes."""
    needs_images = (
        *(" is not in ", " has no file_name", " is not a positive whole number", " has no name"),
        *("do not match the classes", "none of the classes", "cannot be listed"),
    )
    if any(words in problem for problem in problems for words in needs_images):
        return
    with pytest.raises(InputError):
        read_ground_truth(json_file)


def _check_images(truth: GroundTruth, records: list[dict], content: dict[str, Any]) -> None:
    for index, told in enumerate(content["images"]):
        record = records[index]
        assert record["image_id"] == truth.image_ids[index] == told["id"]
        assert type(record["image_id"]) in (int, str)
        assert record["file_name"].endswith(told["file_name"])
        patient = told.get("patient_id")
        is_given = patient == patient and (
            patient is None or str(patient).strip().lower() not in NOT_GIVEN
        )
        meant = patient if is_given else None
        meant = meant.strip() if isinstance(meant, str) else meant
        assert truth.patients[index] == record.get("patient_id") == meant
        assert truth.lateralities[index] == record.get("laterality")
        assert truth.lateralities[index] in ("L", "R", None)


def _check_boxes(truth: GroundTruth, content: dict[str, Any]) -> None:
    assert len(truth.boxes) == len(content["annotations"])
    for index, told in enumerate(content["annotations"]):
        x, y, width, height = told["bbox"]
        np.testing.assert_allclose(truth.boxes[index], [x, y, x + width, y + height], atol=1.001)
        assert truth.boxes[index].min() >= 0
        assert truth.boxes[index].max() <= SIZE
        assert truth.image_ids[truth.image_indices[index]] == told["image_id"]
        assert truth.category_ids[truth.category_indices[index]] == told["category_id"]
        crowd = told.get("iscrowd")
        assert truth.is_crowd[index] == bool(crowd is not None and crowd == crowd and crowd)


def _evaluate(truth: GroundTruth, json_file: Path, image_root: Path) -> None:
    """Perfect detections get the same figures from the data set and from the file."""
    register_coco_dataset("damaged", json_file, image_root, CLASSES)
    of_set = ground_truth_of("damaged")
    found = Detections(
        of_set.boxes, np.ones(len(of_set.boxes)), of_set.image_indices, of_set.category_indices
    )
    froc = FROCEvaluator("damaged", bootstrap=5).summarize(found)["froc"]
    bbox = AveragePrecisionEvaluator("damaged").summarize(found)["bbox"]
    found = Detections(
        truth.boxes, np.ones(len(truth.boxes)), truth.image_indices, truth.category_indices
    )
    result = evaluate_detections(truth, found)
    np.testing.assert_equal(froc["R@4"], 100 * result.sensitivity[-1])
    np.testing.assert_equal(bbox["AP"], 100 * average_precision(truth, found).ap)
    assert math.isnan(bbox["AP"]) == (not truth.num_lesions)


@seeds
def test_damaged_annotations(seeds, tmp_path, image_root):
    json_file = tmp_path / "damaged.json"

    def case(choose: random.Random) -> str:
        json_file.write_bytes(damage(sound_content(), choose))
        return assert_accepted(call(judge, json_file, image_root))

    verdicts = run_campaign(seeds, case)
    assert set(verdicts) == {REFUSED, RIGHT}


def test_sound_annotations_are_right(tmp_path, image_root):
    json_file = tmp_path / "sound.json"
    json_file.write_bytes(to_json_bytes(sound_content()))
    assert assert_accepted(call(judge, json_file, image_root)) == RIGHT
