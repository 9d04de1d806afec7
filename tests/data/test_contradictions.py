"""Lesions that stand in an annotation file twice, and labels of images that deny them."""

import pytest

from medmask.coco import CocoTables
from medmask.data.contradictions import copy_problems, denial_problems
from medmask.data.dataset_report import inspect_dataset


def test_copies_of_a_lesion(coco_content, write_tree):
    first = coco_content["annotations"][0]
    coco_content["annotations"] += [first | {"id": 21}, first | {"id": 22}]
    report = inspect_dataset("mine", *write_tree(coco_content))
    second, third = report.problems
    assert "annotation 21 (image 1) has the box and the category of annotation 11" in second
    assert "annotation 22 (image 1) has the box and the category of annotation 11" in third


def test_what_is_no_copy(coco_content):
    first = coco_content["annotations"][0]
    coco_content["categories"].append({"id": 8, "name": "benign"})
    coco_content["annotations"] += [
        first | {"id": 21, "category_id": 8},
        first | {"id": 22, "image_id": 3},
        first | {"id": 23, "bbox": [10, 5, 20, 30.5]},
        *(first | {"id": number, "iscrowd": 1} for number in (24, 25)),
        *(first | {"id": number, "image_id": 99} for number in (26, 27)),
        *(first | {"id": number, "bbox": None} for number in (28, 29)),
    ]
    assert list(copy_problems(CocoTables(coco_content))) == []


@pytest.mark.parametrize("value", [False, 0, 0.0])
def test_labels_that_deny_a_lesion(coco_content, write_tree, value):
    coco_content["images"][0] |= {"malignant": value, "lesion": value}  # two lesions
    coco_content["images"][2] |= {"malignant": value, "lesion": value}  # none
    report = inspect_dataset("mine", *write_tree(coco_content))
    lesion, malignant = report.problems
    assert lesion.startswith("image 1 (1.png) has the label 'lesion' ")
    assert "which annotation 11 (image 1) contradicts" in lesion
    assert malignant.startswith("image 1 (1.png) has the label 'malignant' ")


def test_labels_that_deny_nothing(coco_content):
    coco_content["categories"] = [{"id": 7, "name": "benign"}]
    coco_content["images"][0] |= {"malignant": False, "lesion": True}
    coco_content["images"][1] |= {"malignant": None, "lesion": None}
    assert list(denial_problems(CocoTables(coco_content))) == []
