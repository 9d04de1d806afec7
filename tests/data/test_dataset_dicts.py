import json

import numpy as np
import pytest
from detectron2.structures import BoxMode

from medmask.data.dataset_dicts import box_corners, load_coco, patient_of, read_dataset_image
from medmask.errors import InputError


def test_sound_file_is_loaded_whole(coco_content, write_tree):
    json_file, image_root = write_tree(coco_content)
    records = load_coco(json_file, image_root, ["malignant"])
    assert [len(record["annotations"]) for record in records] == [2, 1, 0]
    first = records[0]
    assert first.pop("annotations")[1] == {
        "bbox": [50, 40, 25.5, 20],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": 0,
        "iscrowd": 0,
    }
    assert first == {
        "file_name": str(image_root / "1.png"),
        "image_id": 1,
        "height": 80,
        "width": 100,
        "patient_id": "P1",
        "laterality": "L",
        "view": "CC",
    }


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([-1, -0.5, 10, 10], [0, 0, 9, 9.5]),
        ([95, 75, 6, 5.25], [95, 75, 5, 5]),
        ([99.9, 79.9, 0.1, 0.1], [99.9, 79.9, 0.1, 0.1]),
    ],
)
def test_subpixel_overhang_is_clipped(coco_content, write_tree, box, clipped):
    coco_content["annotations"][0]["bbox"] = box
    records = load_coco(*write_tree(coco_content))
    assert records[0]["annotations"][0]["bbox"] == pytest.approx(clipped, abs=1e-12)


def test_file_names_may_be_written_in_any_way(coco_content, write_tree):
    json_file, image_root = write_tree(coco_content)
    for image, name in zip(coco_content["images"], ("./1.png", "2.png/", ".//3.png"), strict=True):
        image["file_name"] = name
    json_file.write_text(json.dumps(coco_content))
    for record in load_coco(json_file, image_root):
        with open(record["file_name"], "rb"):
            pass


def test_boxes_of_any_mode_are_corners_and_never_rounded():
    annotations = [
        {"bbox": [0.1, 0.2, 10.3, 20.4], "bbox_mode": BoxMode.XYWH_ABS},
        {"bbox": [1, 2, 3, 4], "bbox_mode": BoxMode.XYXY_ABS},
    ]
    corners = box_corners(annotations)
    assert corners.dtype == np.float64
    assert corners.tolist() == [[0.1, 0.2, 0.1 + 10.3, 0.2 + 20.4], [1, 2, 3, 4]]
    assert annotations[0]["bbox"] == [0.1, 0.2, 10.3, 20.4]
    assert box_corners([]).shape == (0, 4)


def test_patients():
    assert patient_of({"patient_id": 7, "image_id": 1}) == "patient 7"
    assert patient_of({"patient_id": None, "image_id": 1}) == patient_of({"image_id": 1})
    assert patient_of({"image_id": 1}) != patient_of({"image_id": 2})


def test_image_of_another_size_than_recorded(coco_content, write_tree):
    first, second, _ = load_coco(*write_tree(coco_content))
    assert read_dataset_image(first).shape == (80, 100, 3)
    second["width"] = 101
    with pytest.raises(
        InputError, match=r"2.png is 100 x 80 .* says 101 x 80; run medmask check-data"
    ):
        read_dataset_image(second)
