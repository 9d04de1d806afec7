"""Re-splitting a COCO tree of the user's own."""

import json
import logging

import cv2
import numpy as np
import pytest

from medmask.converters.coco_tree import read
from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.data.dataset_report import inspect_dataset
from medmask.errors import InputError

WIDTH, HEIGHT = 60, 80
CATEGORIES = [{"id": 3, "name": "benign"}, {"id": 7, "name": "mal"}]
POLYGON = [10.5, 20.0, 30.0, 20.0, 30.0, 44.5]


def box_of(image_id, category_id=7, **fields):
    box = {"image_id": image_id, "category_id": category_id, "bbox": [10, 20, 21, 25]}
    return box | {"area": 9, "iscrowd": 0} | fields


@pytest.fixture
def write(tmp_path):
    """Writes an annotation file of images of two each of a patient, and the images."""

    def write(
        name="instances_all.json", numbers=range(1, 13), annotations=(), images="images", **of
    ):
        raw = tmp_path / "raw"
        records = [
            {
                "id": n,
                "file_name": f"{n:02d}.png",
                "width": WIDTH,
                "height": HEIGHT,
                "patient_id": f"p{n // 2}",
                "laterality": "left",
                "view": "CC",
                "paddle": "small",
            }
            for n in numbers
        ]
        for record in records:
            record |= of.get("fields", {})
            path = raw / images / record["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH)
            assert cv2.imwrite(str(path), pixels + record["id"])
        boxes = [{"id": i, **each} for i, each in enumerate(annotations, start=1)]
        categories = of.get("categories", CATEGORIES)
        content = {"images": records, "annotations": boxes, "categories": categories}
        (raw / "annotations").mkdir(exist_ok=True)
        (raw / "annotations" / name).write_text(json.dumps(content))
        return raw

    return write


def names(images):
    return {image.name for image in images}


def splits_of(contents):
    return {image.name: image.split for image in contents.images}


def test_tree_is_carried_over_at_a_smaller_size(write, tmp_path):
    boxes = [
        box_of(1, pathology="ductal", segmentation=[POLYGON]),
        box_of(3, 3),
        box_of(4, 7, malignant=False),
    ]
    raw = write(annotations=boxes, fields={"density": 2, "pixel_spacing_mm": 0.1})
    report = convert("coco_tree", raw, tmp_path / "out", ConversionOptions(max_size=40))
    assert not report.problems
    assert report.files["instances_all.json"] == (12, 7, 1, 1)
    assert report.files["instances_all_lesion.json"] == (12, 7, 3, 3)
    path = tmp_path / "out" / "annotations" / "instances_all_lesion.json"
    assert not inspect_dataset("x", path, tmp_path / "out" / "images", ["lesion"]).problems
    content = json.loads(path.read_text())
    assert content["images"][0] == {
        "id": 1,
        "file_name": "01.png",
        "width": 30,
        "height": 40,
        "patient_id": "p0",
        "laterality": "L",
        "view": "CC",
        "density": 2,
        "malignant": True,
        "lesion": True,
        "pixel_spacing_mm": 0.2,
        "paddle": "small",
    }
    first, second, third = content["annotations"]
    # The box stays that of the file, although the outline is smaller.
    assert first["bbox"] == [5, 10, 10.5, 12.5]
    assert first["segmentation"] == [[5.25, 10, 15, 10, 15, 22.25]]
    assert (first["pathology"], first["category"], first["malignant"]) == ("ductal", "mal", True)
    # The field goes before the name of the category.
    assert [second["malignant"], third["malignant"]] == [False, False]
    assert (tmp_path / "out" / "images" / "01.png").is_file()


@pytest.mark.parametrize("field", ["malignant", "lesion"])
def test_label_that_denies_what_is_marked(write, field):
    raw = write(annotations=[box_of(1), box_of(2, 3)], fields={field: False})
    contents = read(raw)
    denied = {"malignant": {"01"}, "lesion": {"01", "02"}}[field]  # 02 is benign
    assert names(contents.images) == {f"{n:02d}" for n in range(1, 13)} - denied
    assert {left.name for left in contents.left_out} == {f"{name}.png" for name in denied}
    assert len(contents.problems) == len(denied)
    assert (
        f"has the label '{field}' false, which its annotations contradict" in (contents.problems[0])
    )


def test_labels_of_images_are_told_or_by_boxes(write, tmp_path):
    raw = write(numbers=range(1, 9), annotations=[box_of(1), box_of(2, 3)])
    path = raw / "annotations" / "instances_all.json"
    content = json.loads(path.read_text())
    told = [{"malignant": False}, {"malignant": 0, "lesion": True}, {"lesion": False}]
    for record, fields in zip(content["images"][3:], [*told, {"birads": "1"}], strict=False):
        record |= fields
    path.write_text(json.dumps(content))

    report = convert("coco_tree", raw, tmp_path / "out", ConversionOptions())
    assert not report.problems
    assert labels_of(tmp_path / "out") == {
        1: (True, True),
        2: (False, True),
        3: (None, None),
        4: (False, None),
        5: (False, True),
        6: (None, False),
        7: (None, None),
        8: (None, None),
    }
    # without a label an image stays; one whose lesion is not marked is no negative
    assert report.files["instances_all.json"][0] == 8
    assert report.files["instances_all_lesion.json"][0] == 7

    convert("coco_tree", raw, tmp_path / "out", ConversionOptions(complete=True))
    assert labels_of(tmp_path / "out") == {
        1: (True, True),
        2: (False, True),
        **dict.fromkeys((3, 4, 6, 7, 8), (False, False)),
        5: (False, True),
    }


def labels_of(output):
    content = json.loads((output / "annotations" / "instances_all.json").read_text())
    return {each["id"]: (each.get("malignant"), each.get("lesion")) for each in content["images"]}


def test_pixel_size_that_is_told_later_is_carried_over(write, tmp_path):
    raw = write(numbers=[1])
    convert("coco_tree", raw, tmp_path / "out", ConversionOptions())
    file = raw / "annotations/instances_all.json"
    content = json.loads(file.read_text())
    content["images"][0]["pixel_spacing_mm"] = 0.1
    file.write_text(json.dumps(content))
    convert("coco_tree", raw, tmp_path / "out", ConversionOptions())
    written = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    assert written["images"][0]["pixel_spacing_mm"] == 0.1


def test_converted_tree_converts_to_itself(write, tmp_path):
    raw = write(annotations=[box_of(1, segmentation=[POLYGON]), box_of(5, 3), box_of(6)])
    for source, output in ((raw, "once"), (tmp_path / "once", "twice")):
        convert("coco_tree", source, tmp_path / output, ConversionOptions(link=source != raw))
    for name in ("all", "train", "heldout"):
        for suffix in ("", "_lesion"):
            file = f"annotations/instances_{name}{suffix}.json"
            once, twice = (json.loads((tmp_path / o / file).read_text()) for o in ("once", "twice"))
            assert once | {"info": None} == twice | {"info": None}
    assert (tmp_path / "twice" / "images" / "01.png").is_symlink()


def test_file_of_any_lesion_goes_first(write):
    write(annotations=[box_of(1)])
    assert sum(len(image.lesions) for image in read(write(numbers=[1, 2])).images) == 0
    category = [{"id": 1, "name": "abnormality"}]
    boxes = [box_of(1, 1, malignant=True), box_of(2, 1, malignant=False)]
    raw = write("instances_all_abnormality.json", [1, 2], boxes, categories=category)
    assert [len(image.lesions) for image in read(raw).images] == [1, 1]
    raw = write("instances_all_lesion.json", [1, 2], boxes[:1], categories=category)
    assert [len(image.lesions) for image in read(raw).images] == [1, 0]
    assert [image.malignant for image in read(raw).images] == [True, None]


def test_only_file_whatever_its_name(write):
    contents = read(write("mine.json"))
    assert len(contents.images) == 12
    assert set(splits_of(contents).values()) == {None}


@pytest.mark.parametrize("split", ["train", "test"])
def test_only_file_of_a_split_is_not_divided(write, caplog, split):
    contents = read(write(f"instances_{split}_lesion.json"))
    assert set(splits_of(contents).values()) == {split}
    assert f"is the only split of the set, so its images stay in {split}" in caplog.text


def test_unclear_trees_are_refused(write, tmp_path):
    with pytest.raises(InputError, match="holds no JSON file: give a folder with"):
        read(tmp_path)
    write("one.json")
    with pytest.raises(InputError, match=r"2 JSON files, none of them instances_all.json or inst"):
        read(write("two.json"))


def test_own_splits_of_the_file_of_all_images(write):
    write("instances_train.json", range(1, 7))
    write("instances_val.json", range(8, 10))
    write("instances_test.json", [7, 10, 11, 12])
    contents = read(write())
    assert not contents.problems
    splits = splits_of(contents)
    assert [splits[f"{n:02d}"] for n in (1, 6, 7, 8, 9, 12)] == [
        *("train", "train", "test", "val", "val", "test")
    ]
    assert len(contents.sources) == 4


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (range(1, 6), "1 image is either in .*instances_all.json or in .*the first is 06.png"),
        (range(1, 8), "07.png is in .*instances_train.json and in .*instances_test.json, so"),
    ],
    ids=["incomplete", "twice"],
)
def test_splits_that_are_none_are_told_and_do_not_count(write, train, words):
    write("instances_train.json", train)
    write("instances_test.json", range(7, 13))
    contents = read(write())
    (problem,) = contents.problems
    with pytest.raises(InputError, match=words):
        raise InputError(problem)
    assert set(splits_of(contents).values()) == {None}
    assert len(contents.images) == 12


def test_files_of_splits_together(write):
    write("instances_train.json", range(1, 9), images="images/train", annotations=[box_of(2)])
    contents = read(write("instances_test.json", range(9, 13), images="images/test"))
    assert not contents.problems
    assert splits_of(contents)["08"] == "train"
    assert splits_of(contents)["09"] == "test"
    # In folders of their own, images of the same name are different ones.
    raw = write("instances_val.json", [8, 9], images="images/val")
    assert {"train_08", "val_08", "val_09", "test_09"} <= names(read(raw).images)
    assert len(names(read(raw).images)) == 14


def test_patients_that_are_not_told_are_warned_of(write, tmp_path, caplog):
    raw = write(fields={"patient_id": None})
    with caplog.at_level(logging.WARNING):
        convert("coco_tree", raw, tmp_path / "out", ConversionOptions())
    assert "12 of the 12 images" in caplog.text
    assert "each counts as a patient of its own" in caplog.text
    assert {image.patient_id for image in read(raw).images} == {None}


def test_empty_text_is_not_given(write):
    boxes = [box_of(1, malignant="", pathology=" ")]
    contents = read(write(annotations=boxes, fields={"pixel_spacing_mm": "", "malignant": ""}))
    assert not contents.problems
    (lesion,) = contents.images[0].lesions
    assert (lesion.malignant, "pathology" in lesion.attributes) == (True, False)  # by its category
    assert {image.pixel_spacing_mm for image in contents.images} == {None}


def test_lesions_of_unknown_meaning(write, tmp_path, caplog):
    boxes = [box_of(1, 1), box_of(2, 1, malignant=True)]
    raw = write(annotations=boxes, categories=[{"id": 1, "name": "mass"}])
    report = convert("coco_tree", raw, tmp_path / "out", ConversionOptions())
    assert "1 of the 2 annotations" in caplog.text
    assert report.files["instances_all.json"] == (11, 6, 1, 1)  # p0 has one image
    assert report.files["instances_all_lesion.json"] == (12, 7, 2, 2)


def test_masks_that_are_no_polygons_leave_the_box(write, caplog):
    run_lengths = {"counts": [1, 2, 3], "size": [HEIGHT, WIDTH]}
    others = [run_lengths, [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, "6"]]]
    raw = write(annotations=[box_of(1, segmentation=other) for other in [*others, [], [POLYGON]]])
    (image, *_) = read(raw).images
    assert [len(lesion.outlines) for lesion in image.lesions] == [0, 0, 0, 0, 1]
    assert all(lesion.box == (10, 20, 31, 45) for lesion in image.lesions)
    assert "3 annotations" in caplog.text
    assert "only their boxes are kept" in caplog.text


def test_regions_to_ignore_leave_the_image_out(write):
    contents = read(write(annotations=[box_of(1, iscrowd=1), box_of(2)]))
    (left_out,) = contents.left_out
    assert left_out.name == "01.png"
    assert "region to ignore" in left_out.reason
    assert len(contents.images) == 11


@pytest.mark.parametrize(
    ("boxes", "fields", "words"),
    [
        ([box_of(1, malignant="yes")], {}, "the field 'malignant' 'yes': write true or false"),
        ([], {"malignant": 2}, "the field 'malignant' 2: write true or false"),
        ([], {"lesion": "no"}, "the field 'lesion' 'no': write true or false"),
        ([], {"pixel_spacing_mm": [0.1, 0.1]}, "pixel_spacing_mm .* above 0; correct it"),
        ([], {"pixel_spacing_mm": 10**400}, "pixel_spacing_mm .* above 0; correct it"),
        ([], {"width": WIDTH + 1}, "is 60 x 80 .* says 61 x 80; its boxes would be wrong"),
    ],
    ids=["annotation", "image", "lesion", "spacing", "huge-spacing", "size"],
)
def test_faults_are_named_and_the_rest_goes_on(write, boxes, fields, words):
    write("instances_all.json", [2])
    whole = write("other.json", [1], boxes, fields=fields) / "annotations" / "other.json"
    content = json.loads(whole.read_text())
    path = whole.with_name("instances_all.json")
    both = json.loads(path.read_text())
    both["images"] += content["images"]
    both["annotations"] += content["annotations"]
    path.write_text(json.dumps(both))
    contents = read(path.parents[1])
    (problem,) = contents.problems
    with pytest.raises(InputError, match=words):
        raise InputError(problem)
    assert names(contents.images) == {"02"}
    assert [each.name for each in contents.left_out] == ["01.png"]


def test_unsound_files_are_refused_by_the_reader(write):
    with pytest.raises(InputError, match="no image has the id 99"):
        read(write(annotations=[box_of(99)]))


def test_fields_as_other_tools_write_them(write, tmp_path):
    nested = {"x": [1.5, float("nan")], "y": float("inf")}
    fields = {"view": 5, "density": 2.0, "study_date": 20100101, "birads": float("nan")}
    raw = write(annotations=[box_of(1, note=nested)], fields=fields | {"more": nested})
    report = convert("coco_tree", raw, tmp_path / "out", ConversionOptions(max_size=40))
    assert not report.problems
    written = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    image, (annotation,) = written["images"][0], written["annotations"]
    assert (image["view"], image["density"], image["study_date"]) == (5, 2.0, 20100101)
    assert "birads" not in image
    assert image["more"] == annotation["note"] == {"x": [1.5, None], "y": None}


def test_names_lose_suffixes_of_images_alone(write):
    raw = write(numbers=[1])
    path = raw / "annotations" / "instances_all.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "./a/1.2.840"
    path.write_text(json.dumps(content))
    (raw / "images" / "a").mkdir()
    (raw / "images" / "01.png").rename(raw / "images" / "a" / "1.2.840")
    assert names(read(raw).images) == {"a/1.2.840"}


def test_files_that_differ_in_their_suffix_are_images_of_their_own(write):
    raw = write(numbers=[1, 2, 3])
    path = raw / "annotations" / "instances_all.json"
    content = json.loads(path.read_text())
    content["images"][1]["file_name"] = "01.tif"
    path.write_text(json.dumps(content))
    (raw / "images" / "02.png").rename(raw / "images" / "01.tif")
    contents = read(raw)
    assert {image.name: image.path.name for image in contents.images} == {
        "01": "01.png",
        "01.tif": "01.tif",
        "03": "03.png",
    }
    assert contents.problems == []
