import copy
import json
import re
import unicodedata

import numpy as np
import pytest

from medmask.coco import check_content


def find_problems(content, **options):
    return check_content(content, **options)[1]


def _image(field, value):
    return lambda content: content["images"][1].__setitem__(field, value)


def _annotation(field, value):
    return lambda content: content["annotations"][1].__setitem__(field, value)


def _box(*box):
    return _annotation("bbox", list(box))


# (what breaks the file, what the only sentence must say)
BROKEN = {
    "no images": (lambda c: c.pop("images"), "top-level key 'images' is missing"),
    "no annotations": (lambda c: c.pop("annotations"), "'annotations' is missing"),
    "categories no list": (
        lambda c: c.update(categories={}),
        "'categories' is an object, not",
    ),
    "record no object": (lambda c: c["images"].append(5), r"images\[3\] is a number or a flag"),
    "image without id": (lambda c: c["images"].append({}), r"images\[3\] has no usable 'id'"),
    "record with a list as id": (_annotation("id", [1]), r"annotations\[1\].*'id' .it is \[1\]"),
    "no images at all": (lambda c: c.update(images=[], annotations=[]), "list 'images' is empty"),
    "no categories": (lambda c: c.update(categories=[], annotations=[]), "'categories' is empty"),
    "duplicate image id": (_image("id", 1), "image id 1 is used by 2"),
    "duplicate annotation id": (_annotation("id", 11), "annotation id 11 is used by 2"),
    "duplicate file name": (_image("file_name", "1.png"), 'file name "1.png" is used by 2'),
    "one file in two ways": (_image("file_name", "./1.png"), 'file name "1.png" is used by 2'),
    "no file name": (_image("file_name", None), "image 2 has no file_name"),
    "absent on disk": (_image("file_name", "x.png"), r"image 2 \(x.png\) is not in .*train"),
    "width as text": (_image("width", "100"), r"image 2 \(2.png\) gives its width as text"),
    "no height": (
        lambda c: c["images"][1].pop("height"),
        "image 2 .* height .* is not a pos",
    ),
    "fractional height": (_image("height", 80.5), "image 2 .* height 80.5 is not"),
    "zero width": (_image("width", 0), "image 2 .* width 0 is not a positive"),
    "unknown image": (_annotation("image_id", 99), "annotation 12 .* no image has the id 99"),
    "image id as text": (
        _annotation("image_id", "1"),
        'annotation 12 .* no image has the id "1", but one has 1: write ids one way',
    ),
    "image ids as text alone": (
        lambda c: c["images"][1].update(id="2"),
        'annotation 13 .* no image has the id 2, but one has "2": write ids one way',
    ),
    "unhashable image id": (_annotation("image_id", [1]), r"annotation 12 .* the id \[1\]"),
    "unknown category": (_annotation("category_id", 5), "annotation 12 .* unknown category 5"),
    "no category": (
        _annotation("category_id", None),
        "annotation 12 .* unknown category .miss",
    ),
    "iscrowd as text": (_annotation("iscrowd", "0"), 'annotation 12 .* iscrowd "0" is not 0 or 1'),
    "no box": (
        lambda c: c["annotations"][1].pop("bbox"),
        "annotation 12 .* is not four finite",
    ),
    "outline alone": (
        lambda c: c["annotations"][1].update(bbox=None, segmentation=[[1, 2, 9, 2, 9, 8]]),
        "annotation 12 .* boxes are not made of the segmentation: add the box around it",
    ),
    "three numbers": (_box(1, 2, 3), "annotation 12 .* is not four finite numbers"),
    "NaN": (_box(1, 2, float("nan"), 4), "annotation 12 .* is not four finite numbers"),
    "infinite": (_box(1, 2, float("inf"), 4), "annotation 12 .* is not four finite numbers"),
    "box as text": (_box("1", "2", "3", "4"), "annotation 12 .* write numbers, not text"),
    "zero width box": (_box(1, 2, 0, 4), "annotation 12 .* zero or negative"),
    "negative height box": (_box(10, 20, 3, -4), "annotation 12 .* zero or negative"),
    "beyond the right": (_box(90, 10, 11.5, 10), "annotation 12 .* outside the image.* 100 x 80"),
    "beyond the top": (_box(10, -1.5, 10, 10), "annotation 12 .* outside the image"),
    "just outside": (_box(100.2, 10, 0.5, 10), "annotation 12 .* outside the image"),
    "category without name": (lambda c: c["categories"][0].pop("name"), "category 7 has no name"),
    "category id as text": (
        lambda c: c["categories"].append({"id": "8", "name": "b"}),
        'category id "8" is not a whole number',
    ),
    "duplicate category": (
        lambda c: c["categories"].append({"id": 7, "name": "b"}),
        "category id 7 is used by 2",
    ),
    "two categories for one class": (
        lambda c: c["categories"].append({"id": 8, "name": "cancer"}),
        r"categories \['mal', 'cancer'\] do not match the classes \['malignant'\]",
    ),
    "two categories of one name": (
        lambda c: c["categories"].append({"id": 8, "name": "mal "}),
        'category name "mal" is used by 2 records',
    ),
    "the other class": (
        lambda c: c["categories"][0].update(name="benign"),
        r"categories \['benign'\] do not match the classes \['malignant'\] .* register the set",
    ),
    "a number for a name": (
        lambda c: c["categories"][0].update(name="1"),
        r"categories \['1'\] do not match the classes",
    ),
    "patient as list": (_image("patient_id", ["p"]), r'image 2 \(2.png\): its patient_id \["p"\]'),
    "patient as flag": (_image("patient_id", True), "image 2 .* patient_id true is neither"),
    "fractional patient": (_image("patient_id", 1.5), "image 2 .* patient_id 1.5 is neither"),
    "patient once a number, once text": (
        lambda c: [i.update(patient_id=p) for i, p in zip(c["images"], [1.0, "1", 2], strict=True)],
        "patient_id 1 is a number in some records and text in others",
    ),
    "image id once a number, once text": (
        lambda c: c["images"][2].update(id="1"),
        "image id 1 is a number in some records and text in others",
    ),
    "laterality": (_image("laterality", "X"), 'image 2 .* laterality "X" is not L or R'),
    "absolute file name": (_image("file_name", "/etc/passwd"), "image 2.*/etc/passwd. is absolute"),
    "folders as on Windows": (_image("file_name", "a\\2.png"), r"image 2 .*; write / between"),
    "case of a file name": (_image("file_name", "2.PNG"), 'image 2 .*, but "2.png" is, which'),
    "drive": (_image("file_name", "C:\\x.png"), "image 2: .* is absolute"),
    "file name leads out": (
        _image("file_name", "a/../../x"),
        "image 2: .* leads out of",
    ),
    "zero in file name": (_image("file_name", "a\0b"), "image 2: .* holds a zero character"),
    "number as file name": (_image("file_name", 2), "image 2: its file_name 2 is not text"),
    "long file name": (_image("file_name", "x" * 300), "image 2 .* is not in .*train"),
    "long folder": (_image("file_name", "x" * 300 + "/y"), "cannot be listed .File name too long"),
    "folder as image": (_image("file_name", "."), "image 2 .* is not in"),
    "nested field": (_image("view", json.loads("[" * 99 + "]" * 99)), 'its "view" is nested too'),
    "gigantic width": (
        _image("width", 10**400),
        "image 2 .* width 10000.* is not a pos",
    ),
    "gigantic id": (_image("id", 10**400), r"images\[1\] has no usable 'id'"),
    "gigantic box": (_box(1, 2, 10**400, 4), "annotation 12 .* is not four finite numbers"),
    "box beyond all numbers": (
        _box(1e308, 2, 1e308, 4),
        "annotation 12 .* is outside",
    ),
    "flag in a box": (_box(1, 2, True, 4), "annotation 12 .* is not four finite numbers"),
    "another class": (
        lambda c: c.update(
            categories=[{"id": 7, "name": "benign"}, {"id": 8, "name": "Malignant"}],
            annotations=[{**c["annotations"][1]}],
        ),
        r"annotation 12 .* category 7 \(benign\), which is none of the classes \['malignant'\]",
    ),
}


def test_names_of_categories_are_needed_to_find_the_classes(coco_content):
    del coco_content["categories"][0]["name"]
    assert find_problems(coco_content) == []
    assert find_problems(coco_content, thing_classes=["malignant"]) == ["category 7 has no name"]


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_file_is_reported(coco_content, write_tree, fault):
    _, image_root = write_tree(coco_content)
    break_it, expected = BROKEN[fault]
    break_it(coco_content)
    problems = find_problems(coco_content, image_root=image_root, thing_classes=["malignant"])
    if fault == "duplicate image id":  # leaves annotation 13 without its image, and rightly so
        assert re.search("no image has the id 2", problems.pop())
    assert len(problems) == 1
    assert re.search(expected, problems[0])


def test_name_with_other_accents_is_found(coco_content, write_tree):
    coco_content["images"][1]["file_name"] = unicodedata.normalize("NFD", "fünf.png")
    _, image_root = write_tree(coco_content)
    coco_content["images"][1]["file_name"] = "fünf.png"
    (problem,) = find_problems(coco_content, image_root=image_root)
    assert re.search(
        r'is not in .*, but "fu\\u0308nf.png" is, which differs in .* accents', problem
    )


def test_absent_folder_is_one_problem(coco_content, tmp_path):
    root = tmp_path / "absent"
    problems = find_problems(coco_content, image_root=root)
    assert problems == [f"there is no folder {root} for the images"]


def _random_boxes(content, number=40):
    random = np.random.default_rng(0)
    sizes = random.integers(5, 30, (number, 2))
    corners = random.integers(0, [100, 80] - sizes + 1)
    corners[0, 1] = 0  # one touches the upper edge
    template = content["annotations"][0]
    content["annotations"] = [
        {**template, "id": 100 + i, "bbox": [*map(int, (*corner, *size))]}
        for i, (corner, size) in enumerate(zip(corners, sizes, strict=True))
    ]
    return content["annotations"]


def test_lower_left_corners_are_recognized(coco_content):
    annotations = _random_boxes(coco_content)
    assert find_problems(coco_content) == []
    upright = copy.deepcopy(annotations)
    for annotation in annotations:
        annotation["bbox"][1] += annotation["bbox"][3]
    (problem,) = find_problems(coco_content)
    below = [a["id"] for a in annotations if a["bbox"][1] + a["bbox"][3] > 81]
    assert f"{len(below)} of 40 boxes" in problem
    assert f"annotations {below[0]}, " in problem
    assert "[xmin, ymax, width, height]" in problem
    for annotation in annotations:  # what the message says to do
        annotation["bbox"][1] -= annotation["bbox"][3]
    assert annotations == upright
    assert find_problems(coco_content) == []


def test_shares_of_the_sides_are_recognized(coco_content):
    for annotation in coco_content["annotations"]:
        annotation["bbox"] = [0.25, 0.5, 0.25, 0.5]
    (problem,) = find_problems(coco_content)
    assert "all 3 boxes lie within the first pixel" in problem
    coco_content["annotations"][0]["bbox"] = [1, 1, 1, 1]
    assert find_problems(coco_content) == []


def test_one_stray_box_is_no_systematic_fault(coco_content):
    annotations = _random_boxes(coco_content)
    annotations[5]["bbox"] = [10, 70, 20, 15]
    (problem,) = find_problems(coco_content)
    assert "annotation 105" in problem
    assert "ymax" not in problem
