"""RSNA-BSD1K: several layouts, known faults of its files, splits that share images and patients."""

import json
import logging

import numpy as np
import pytest
from PIL import Image
from raw_tables import write_csv

from medmask.converters.contract import MarkedLesions
from medmask.converters.rsna_bsd1k import CONVERTER, read
from medmask.errors import InputError

WIDTH, HEIGHT = 40, 30
MENDED = "medmask.converters.rsna_bsd1k.faults"


def content_of(boxes: dict[str, list], **changes) -> dict:
    """An annotation file: boxes by the file name, without suffix, of each image."""
    images = [
        {"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
        for number, name in enumerate(boxes, 1)
    ]
    annotations = [
        {"image_id": number, "category_id": 1, "bbox": box}
        for number, of_image in enumerate(boxes.values(), 1)
        for box in of_image
    ]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    categories = [{"id": 1, "name": "mal"}]
    return {"images": images, "annotations": annotations, "categories": categories} | changes


@pytest.fixture
def write_split(tmp_path):
    def write(json_file: str, folder: str, content: dict):
        path = tmp_path / json_file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for image in content["images"]:
            pixels = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) % 251
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / image["file_name"])
        return tmp_path

    return write


@pytest.mark.parametrize(
    "layout",
    [
        ("annotations/instances_full.json", "images/train", "annotations/instances_val.json",
         "images/val"),
        ("annotations/instances_train.json", "train", "annotations/instances_val.json", "val"),
        ("annotations/instances_train2017.json", "train2017", "annotations/instances_val2017.json",
         "val2017"),
        ("annotations/instances_train2017.json", "train2017",
         "annotations/image_info_test-dev2017.json", "train2017"),
        ("instances_train.json", "images", "instances_val.json", "images"),
    ],
    ids=["full and val", "plain", "2017", "test-dev under train2017", "flat"],
)  # fmt: skip
def test_layouts(write_split, layout):
    train_json, train_folder, other_json, other_folder = layout
    write_split(train_json, train_folder, content_of({"1_11": [[5, 6, 7.5, 8]], "2_21": []}))
    raw = write_split(other_json, other_folder, content_of({"3_31": []}))
    contents = read(raw)
    assert not contents.problems
    assert not contents.left_out
    other = "test" if "test" in other_json else "val"
    assert sorted((image.name, image.patient_id, image.split) for image in contents.images) == [
        ("1_11", "1", "train"),
        ("2_21", "2", "train"),
        ("3_31", "3", other),
    ]
    by_name = {image.name: image for image in contents.images}
    (lesion,) = by_name["1_11"].lesions
    assert (lesion.box, lesion.malignant) == ((5, 6, 12.5, 14), True)
    assert [by_name[name].malignant for name in ("1_11", "2_21")] == [True, False]
    assert by_name["1_11"].path == raw / train_folder / "1_11.png"
    assert set(contents.sources) == {raw / train_json, raw / other_json}


def test_a_file_of_test_images_may_have_no_annotations(write_split):
    content = content_of({"3_31": []})
    del content["annotations"]
    raw = write_split("annotations/image_info_test-dev2017.json", "test2017", content)
    (image,) = read(raw).images
    assert (image.split, image.lesions) == ("test", ())


def test_sizes_and_boxes_as_text_are_mended_and_named(write_split, caplog):
    content = content_of({"1_11": [[5, 6, 7, 8]], "2_21": []})
    for image in content["images"]:
        image |= {"width": str(WIDTH), "height": f"{HEIGHT}.0"}
    content["annotations"][0]["bbox"] = ["5", "6.0", "7.25", " 8 "]
    raw = write_split("annotations/instances_train.json", "images/train", content)
    with caplog.at_level(logging.WARNING, MENDED):
        contents = read(raw)
    assert not contents.problems
    assert contents.images[0].lesions[0].box == (5, 6, 12.25, 14)
    assert "instances_train.json has 8 numbers as text" in caplog.text


def test_boxes_with_their_lower_corner_are_mended_and_named(write_split, caplog):
    true = {"1_11": [[5, 10, 7, 15]], "2_21": [[0, 0, 9, 9], [20, 21, 9, 9]]}
    wrong = {name: [[x, y + h, w, h] for x, y, w, h in boxes] for name, boxes in true.items()}
    raw = write_split("annotations/instances_train.json", "images/train", content_of(wrong))
    with caplog.at_level(logging.WARNING, MENDED):
        contents = read(raw)
    assert not contents.problems
    boxes = [lesion.box for image in contents.images for lesion in image.lesions]
    assert boxes == [(5, 10, 12, 25), (0, 0, 9, 9), (20, 21, 29, 30)]
    assert "has 3 boxes as [xmin, ymax, width, height]" in caplog.text


def test_boxes_that_cannot_be_mended_are_told(write_split):
    boxes = {"1_11": [[5, 25, 7, 15]], "2_21": [[0, 0, 9, 9], [20, 2, 9, 9]]}
    raw = write_split("annotations/instances_train.json", "images/train", content_of(boxes))
    contents = read(raw)
    assert not contents.images
    (problem,) = contents.problems
    assert "is outside the image" in problem
    assert "instances_train.json" in problem


def test_images_and_patients_are_in_one_split_alone(write_split):
    full = {"1_11": [[1, 2, 3, 4]], "1_12": [], "2_21": [], "3_31": [], "4_41": []}
    write_split("annotations/instances_full.json", "images/train", content_of(full))
    write_split(
        "annotations/instances_val.json", "images/val", content_of({"1_11": [], "3_32": []})
    )
    raw = write_split("annotations/instances_test.json", "images/test", content_of({"4_41": []}))
    contents = read(raw)
    assert not contents.problems
    assert sorted((image.split, image.name) for image in contents.images) == [
        ("test", "4_41"),
        ("train", "2_21"),
        ("val", "1_11"),
        ("val", "3_32"),
    ]
    assert [(left.name, left.reason) for left in contents.left_out] == [
        ("1_11", "it is in val, too, where it stays; it is left out of train"),
        ("1_12", "its patient has images in val; it is left out of train"),
        ("3_31", "its patient has images in val; it is left out of train"),
        ("4_41", "it is in test, too, where it stays; it is left out of train"),
    ]


def test_the_table_of_the_rsna_set_is_joined(write_split, tmp_path):
    row = {"patient_id": 1, "image_id": 11, "laterality": "R", "view": "MLO", "cancer": 1}
    write_csv(tmp_path / "train.csv", row | {"density": "B", "BIRADS": 0, "machine_id": 49})
    raw = write_split(
        "annotations/instances_train.json", "images/train", content_of({"1_11": [], "2_21": []})
    )
    contents = read(raw)
    assert not contents.problems
    assert raw / "train.csv" in contents.sources
    known, unknown = contents.images
    assert (known.laterality, known.view, known.density, known.birads) == ("R", "MLO", "B", "0")
    assert (known.scanner, known.malignant) == ("machine 49", True)
    assert (unknown.laterality, unknown.malignant, unknown.patient_id) == (None, False, "2")


def test_missing_images_and_images_of_another_size(write_split):
    boxes = {"1_11": [[5, 6, 7, 8]], "2_21": [], "3_31": []}
    raw = write_split("annotations/instances_train.json", "images/train", content_of(boxes))
    (raw / "images/train/2_21.png").unlink()
    Image.fromarray(np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)).save(raw / "images/train/1_11.png")
    contents = read(raw)
    assert [image.name for image in contents.images] == ["3_31"]
    assert [left.name for left in contents.left_out] == ["1_11.png", "2_21.png"]
    assert "is 80 x 60 (width x height), but" in contents.problems[0]
    assert "1 of the 3 images of" in contents.problems[1]


@pytest.mark.parametrize("name", ["mass", "1"])
def test_a_category_of_unknown_meaning(write_split, name):
    content = content_of({"1_11": [[5, 6, 7, 8]]}, categories=[{"id": 1, "name": name}])
    raw = write_split("annotations/instances_train.json", "images/train", content)
    assert "neither malignant nor benign" in read(raw).problems[0]


@pytest.mark.parametrize("name", ["", " ", None, 5])
def test_an_image_without_a_name(write_split, name):
    content = content_of({"1_11": []})
    raw = write_split("annotations/instances_train.json", "images/train", content)
    content["images"][0]["file_name"] = name
    (raw / "annotations/instances_train.json").write_text(json.dumps(content))
    contents = read(raw)
    assert not contents.images
    assert "file_name" in contents.problems[0]


def test_image_without_boxes_may_show_a_benign_lesion():
    assert CONVERTER.marked is MarkedLesions.MALIGNANT


def test_benign_boxes_are_not_malignant(write_split):
    content = content_of({"1_11": [[5, 6, 7, 8]]}, categories=[{"id": 1, "name": "Benign"}])
    (image,) = read(write_split("annotations/instances_train.json", "images/train", content)).images
    assert (image.lesions[0].malignant, image.malignant) == (False, False)


def test_one_broken_file_leaves_the_others(write_split):
    write_split("annotations/instances_train.json", "images/train", content_of({"1_11": []}))
    raw = write_split("annotations/instances_val.json", "images/val", content_of({"2_21": []}))
    (raw / "annotations/instances_train.json").write_text("{")
    contents = read(raw)
    assert [image.name for image in contents.images] == ["2_21"]
    assert "instances_train.json is cut off" in contents.problems[0]


def test_a_folder_without_annotations(tmp_path):
    with pytest.raises(InputError, match=r"has no annotation file .*instances_full\.json"):
        CONVERTER.read(tmp_path)
