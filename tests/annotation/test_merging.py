"""Corrected annotations in the place of those of a set, by record id."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medmask.annotation import export_annotations, import_annotations
from medmask.data.dataset_report import inspect_dataset
from medmask.dicom_results.predictions import ScoredImage
from medmask.errors import InputError

SIZE = {"width": 96, "height": 128}


@pytest.fixture
def root(phantoms) -> Path:
    return phantoms[0].parent


def annotation(number, image_id, box, **others):
    record = {"id": number, "image_id": image_id, "category_id": 7, "bbox": box}
    return record | {"area": box[2] * box[3], "iscrowd": 0} | others


@pytest.fixture
def original(phantoms, tmp_path) -> Path:
    """A set of three images, of ids 30, 20 and 10, and of one that nobody exports."""
    names = [phantoms[i].name for i in (0, 1, 2, 7)]
    content = {
        "info": {"description": "mine"},
        "images": [
            {"id": number, "file_name": name, "patient_id": "P", "note": "kept"} | SIZE
            for number, name in zip((30, 20, 10, 5), names, strict=True)
        ],
        "annotations": [
            annotation(4, 30, [1, 1, 5, 5]),
            annotation(9, 30, [60, 1, 5, 5], iscrowd=1),
            annotation(5, 20, [2, 2, 6, 6]),
            annotation(6, 10, [3, 3, 7, 7]),
            annotation(7, 5, [4, 4, 8, 8], difficult=True),
        ],
        "categories": [{"id": 7, "name": "mal"}],
    }
    (tmp_path / "original.json").write_text(json.dumps(content))
    return tmp_path / "original.json"


class Loop:
    """Exports images, has a reader submit some of them, and merges the result."""

    def __init__(self, folder, predictions):
        self.folder, self.predictions = folder, predictions

    def run(self, images, submitted, original, root, classes=None):
        predictions = replace(self.predictions, images=tuple(images))
        export_annotations(predictions, self.folder / "out")
        tasks = json.loads((self.folder / "out/for_readers/label_studio/tasks.json").read_text())
        done = [
            {"id": i, "data": task["data"], "annotations": [{"result": self.regions(task)}]}
            for i, task in enumerate(tasks)
            if i in submitted
        ]
        (self.folder / "done.json").write_text(json.dumps(done))
        self.output = self.folder / "merged.json"
        summary = import_annotations(
            self.folder / "out", self.folder / "done.json", self.output,
            merge_with=original, image_root=root, classes=classes,
        )  # fmt: skip
        return summary, json.loads(self.output.read_text())

    def regions(self, task):
        return task["predictions"][0]["result"] if "predictions" in task else []


@pytest.fixture
def loop(tmp_path, predictions):
    return Loop(tmp_path, predictions)


def with_ids(predictions, *ids):
    return [
        replace(image, file_name=image.path.name, image_id=image_id)
        for image, image_id in zip(predictions.images, ids, strict=False)
    ]


def test_reviewed_images_get_the_reader_s_lesions(loop, predictions, original, root):
    before = json.loads(original.read_text())
    images = with_ids(predictions, 30, 20, 10)
    summary, content = loop.run(images, {0, 2}, original, root)
    assert (summary.reviewed, summary.absent, summary.problems) == (2, 1, ())
    assert content["images"] == before["images"]
    assert content["categories"] == before["categories"]
    assert content["info"] == before["info"]
    # the region to ignore, the image that was not reviewed, and the one that was not exported
    assert content["annotations"][:3] == [before["annotations"][i] for i in (1, 2, 4)]
    added = content["annotations"][3:]
    assert [(x["id"], x["image_id"], x["category_id"]) for x in added] == [
        (10, 30, 7),
        (11, 30, 7),
    ]
    assert added[0]["bbox"] == [10.25, 20.5, 30.5, 40.625]  # none for the third, found normal


def test_labels_of_images_do_not_deny_what_a_reader_marked(loop, predictions, original, root):
    content = json.loads(original.read_text())
    # two lesions, one that is not reviewed, and one found normal, whatever pathology says
    for record, label in zip(content["images"], (False, False, True, None), strict=True):
        record["malignant"] = record["lesion"] = label
    original.write_text(json.dumps(content))
    images = with_ids(predictions, 30, 20, 10)
    _, content = loop.run(images, {0, 2}, original, root)
    for field in ("malignant", "lesion"):
        assert [x[field] for x in content["images"]] == [True, False, True, None]


def test_project_accepts_the_result(loop, predictions, original, root):
    loop.run(with_ids(predictions, 30, 20, 10), {0, 1, 2}, original, root)
    report = inspect_dataset("merged", loop.output, root, ["malignant"])
    assert report.problems == []
    assert (report.num_lesions, len(report.file_names)) == (4, 4)


def test_images_without_ids_are_found_by_their_files_or_added(loop, predictions, original, root):
    images = [ScoredImage(x.path, x.findings) for x in predictions.images]
    _, content = loop.run(images, {0, 1, 2, 3}, original, root)
    *others, added = content["images"]
    assert [x["id"] for x in others] == [30, 20, 10, 5]
    assert added["id"] == 31
    assert added["file_name"] == predictions.images[3].path.name
    assert added["patient_id"]  # of the header
    by_image = [x["image_id"] for x in content["annotations"] if not x["iscrowd"]]
    assert sorted(by_image) == [5, 20, 30, 30]


def test_ids_of_a_manifest_in_csv_are_those_of_the_set(loop, predictions, original, root):
    _, content = loop.run(with_ids(predictions, "30"), {0}, original, root)
    assert [x["image_id"] for x in content["annotations"] if "origin" in x] == [30, 30]
    assert len(content["images"]) == 4


def test_new_class_becomes_a_category(loop, predictions, original, root):
    findings = tuple(replace(x, category="benign") for x in predictions.images[0].findings)
    image = replace(with_ids(predictions, 30)[0], findings=findings)
    loop.predictions = replace(predictions, categories=("malignant", "benign"))
    _, content = loop.run([image], {0}, original, root)
    assert content["categories"] == [{"id": 7, "name": "mal"}, {"id": 8, "name": "benign"}]
    assert [x["category_id"] for x in content["annotations"] if "origin" in x] == [8, 8]


@pytest.mark.parametrize(
    ("ids", "words"),
    [((31,), "has no image of the id 31"), ((20,), "is .* in .*original.json, but")],
    ids=["unknown", "of another file"],
)
def test_ids_of_another_set_are_refused(loop, predictions, original, root, ids, words):
    with pytest.raises(InputError, match=words):
        loop.run(with_ids(predictions, *ids), {0}, original, root)
    assert not (loop.folder / "merged.json").exists()


def test_faulty_set_is_refused(loop, predictions, original, root):
    content = json.loads(original.read_text())
    content["annotations"][0]["bbox"] = [90, 1, 50, 5]
    original.write_text(json.dumps(content))
    with pytest.raises(InputError, match="outside the image"):
        loop.run(with_ids(predictions, 30), {0}, original, root)


def test_lesions_that_readers_could_not_mark_stay(loop, predictions, original, root):
    content = json.loads(original.read_text())
    content["categories"].append({"id": 2, "name": "benign"})
    content["annotations"].append(annotation(8, 30, [5, 5, 9, 9], category_id=2))
    content["images"][0] |= {"malignant": 0, "note": float("nan")}
    original.write_text(json.dumps(content))
    summary, merged = loop.run(with_ids(predictions, 30), {0}, original, root, ["malignant"])
    assert content["annotations"][-1] in merged["annotations"]
    assert 4 not in [x["id"] for x in merged["annotations"]]
    assert any("1 annotations of reviewed images are of classes" in x for x in summary.notes)
    assert merged["images"][0]["malignant"] is True
    assert merged["images"][0]["note"] is None
