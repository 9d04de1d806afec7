"""Reading what was predicted."""

import json

import pytest
from toy_image_detector import CenterDetector

from medmask.dicom_results.predictions import read_detections_of_images, read_predictions
from medmask.dicom_results.source_image import read_source_image
from medmask.errors import InputError
from medmask.inference import PredictionOptions, WorkList, predict_images


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
    assert read.weights == "9a129038d9a00aed"


def test_only_frame_of_a_file_is_the_file(phantom_studies, tmp_path):
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"path,frame\n{phantom_studies[0]},0\n")
    options = PredictionOptions(overlays=False)
    predict_images(CenterDetector(), WorkList([manifest]), tmp_path / "out", options=options)
    (image,) = read_predictions(tmp_path / "out").images
    assert image.path == phantom_studies[0]
    assert read_source_image(image, 0.5).findings == image.findings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [1, 2, 3]}, "a bbox is not"),
        ({"bbox": [1, 2, -3, 4]}, "a bbox is not"),
        ({"bbox": [1, 2, 3, 10**400]}, "no bbox of numbers"),
        ({"score": 10**400}, "no bbox of numbers, or no score"),
        ({"score": 50}, "a score or a probability is not in"),
        ({"file_name": None}, "record 0 has no file_name"),
        ({"file_name": "a\0b"}, "record 0 has no file_name"),
        ({"file_name": "/elsewhere.dcm"}, "is not among the inputs"),
    ],
    ids=["short", "negative", "huge bbox", "huge score", "percent", "no name", "NUL", "stranger"],
)
def test_faults(phantom_studies, checkpoint, tmp_path, change, words):
    path = write(tmp_path / "d.json", [record(phantom_studies[0], **change)])
    with pytest.raises(InputError, match=words):
        read_detections_of_images(path, phantom_studies[:1], checkpoint)


def test_other_contents(phantom_studies, checkpoint, tmp_path):
    path = write(tmp_path / "d.json", {"annotations": []})
    with pytest.raises(InputError, match="not a list of detections"):
        read_detections_of_images(path, phantom_studies[:1], checkpoint)
    with pytest.raises(InputError, match="cannot be read"):
        read_detections_of_images(write(path, []), phantom_studies[:1], tmp_path / "absent.pth")
