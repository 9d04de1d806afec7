"""Reading what was predicted."""

import json

import pytest

from medmask.dicom_results.predictions import (
    hash_of_weights,
    read_detections_of_images,
    read_predictions,
)
from medmask.errors import InputError


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"weights")
    return path


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def record(path, **other):
    return {
        "file_name": str(path),
        "category_name": "mass",
        "bbox": [1, 2, 3, 4.5],
        "score": 0.5,
    } | (other)


def test_images_without_detections_count(phantom_studies, checkpoint, tmp_path):
    first, second = phantom_studies[:2]
    detections = [record(first, score=0.2), record(first, category_name=None, category_id=7)]
    path = write(tmp_path / "d.json", detections)
    read = read_detections_of_images(path, [first, second], checkpoint)
    assert [image.path for image in read.images] == [first, second]
    assert [[f.score for f in image.findings] for image in read.images] == [[0.5, 0.2], []]
    assert read.images[0].findings[0].box == (1, 2, 4, 6.5)
    assert [f.category for f in read.images[0].findings] == ["class 7", "mass"]
    # as sha256sum has it
    assert read.weights == hash_of_weights(checkpoint) == "9a129038d9a00aed"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [1, 2, 3]}, "a bbox is not"),
        ({"bbox": [1, 2, -3, 4]}, "a bbox is not"),
        ({"score": 50}, "a score is not in"),
        ({"file_name": None}, "record 0 has no file_name"),
        ({"file_name": "/elsewhere.dcm"}, "are not among the inputs"),
    ],
    ids=["short", "negative", "percent", "no name", "stranger"],
)
def test_faults(phantom_studies, checkpoint, tmp_path, change, words):
    path = write(tmp_path / "d.json", [record(phantom_studies[0], **change)])
    with pytest.raises(InputError, match=words):
        read_detections_of_images(path, phantom_studies[:1], checkpoint)


def test_other_contents(phantom_studies, checkpoint, tmp_path):
    path = write(tmp_path / "d.json", {"annotations": []})
    with pytest.raises(InputError, match="not a list of detections"):
        read_detections_of_images(path, phantom_studies[:1], checkpoint)
    with pytest.raises(InputError, match="does not exist"):
        read_detections_of_images(write(path, []), phantom_studies[:1], tmp_path / "absent.pth")


def write_part(path, weights, *records):
    header = {"settings": {"weights": weights, "category_names": ["mass", "calcification"]}}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (header, *records)))


def outcome(path, status="done", **other):
    return {"path": path, "frame": None, "status": status, "error": None, "detections": []} | other


def test_parts_of_predictions(tmp_path):
    box = {"bbox": [1, 2, 3, 4], "score": 0.5}
    failed = outcome("/b.dcm", "failed", error="b is damaged")
    found = [box | {"class": 1}, box | {"category_name": "mass"}]
    write_part(tmp_path / "predictions-1-of-2.jsonl", "f0", outcome("/a.dcm", detections=found))
    write_part(tmp_path / "predictions-2-of-2.jsonl", "f0", failed, outcome("/c.dcm"))
    with (tmp_path / "predictions-2-of-2.jsonl").open("a") as file:
        file.write('{"path": "/d.dcm", "fra')  # killed here
    read = read_predictions(tmp_path)
    assert [str(image.path) for image in read.images] == ["/a.dcm", "/c.dcm"]
    assert [f.category for f in read.images[0].findings] == ["calcification", "mass"]
    assert (read.weights, read.problems) == ("f0", ("b is damaged",))

    write_part(tmp_path / "predictions-3-of-3.jsonl", "e0")
    with pytest.raises(InputError, match="several weights"):
        read_predictions(tmp_path)


@pytest.mark.parametrize(
    "record",
    [{"status": "done"}, outcome("/a", detections=[{"class": 2, "bbox": [1, 2, 3, 4]}]), []],
    ids=["no path", "no such class", "no object"],
)
def test_damaged_records(tmp_path, record):
    write_part(tmp_path / "predictions.jsonl", "f0", record)
    with pytest.raises(InputError, match="damaged at line 2"):
        read_predictions(tmp_path)
