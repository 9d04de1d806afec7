"""From an export for readers, through an annotation tool, to a COCO set on the stored images."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from toy_image_detector import CenterDetector

from medmask.annotation import export_annotations, import_annotations
from medmask.annotation.patients import find_patients
from medmask.data.dataset_report import inspect_dataset
from medmask.dicom_results.predictions import ScoredImage, read_predictions
from medmask.errors import InputError
from medmask.inference import predict_images
from medmask.inference.prediction_images import PredictionImage

FIRST = (10.25, 20.5, 30.5, 40.625)
"""The first detection as [x, y, width, height]."""


def read_set(path):
    """{file name: sorted (origin, category, box)} of an annotation file."""
    content = json.loads(path.read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    categories = {category["id"]: category["name"] for category in content["categories"]}
    found = {name: [] for name in names.values()}
    for x in content["annotations"]:
        found[names[x["image_id"]]].append((x["origin"], categories[x["category_id"]], x["bbox"]))
    return {name: sorted(boxes) for name, boxes in found.items()}


def submit_nothing(export, path):
    """Write what Label Studio exports after every task was submitted without a lesion."""
    tasks = json.loads((export / "for_readers/label_studio/tasks.json").read_text())
    content = [{"id": 1, "annotations": [{"result": []}], "data": x["data"]} for x in tasks]
    path.write_text(json.dumps(content))


@pytest.fixture
def run(export, tmp_path):
    """Imports the content of a file; gives the summary and the set."""

    def import_(content, **options):
        output = tmp_path / "set.json"
        summary = import_annotations(export.folder, export.write(content), output, **options)
        return summary, read_set(output)

    return import_


@pytest.mark.parametrize(
    "options", [{}, {"max_size": 100}, {"crop_to_breast": True}], ids=["whole", "reduced", "crop"]
)
def test_what_was_left_as_it_is_comes_back_to_the_bit(make_export, tmp_path, options, phantoms):
    export = make_export(**options)
    path = export.write(export.submit_all())
    summary = import_annotations(export.folder, path, tmp_path / "set.json")
    found = read_set(tmp_path / "set.json")
    assert (summary.reviewed, summary.normal, summary.problems) == (4, 2, ())
    assert summary.lesions == {"kept": 3, "deleted": 0}
    second = ("kept", "malignant", [50.0, 70.0, 46.0, 58.0])
    wanted = [[("kept", "malignant", list(FIRST)), second], [second], [], []]
    names = [str(path.relative_to(summary.image_root)) for path in phantoms[:4]]
    assert found == dict(zip(names, wanted, strict=True))


def test_project_accepts_the_set(export, tmp_path):
    output = tmp_path / "set.json"
    summary = import_annotations(export.folder, export.write(export.submit_all()), output)
    report = inspect_dataset("set", output, summary.image_root, ["malignant"])
    assert report.problems == []
    assert (report.num_lesions, report.num_images_with_lesions) == (3, 2)


def test_one_file_under_two_ids_is_shown_once(tmp_path, predictions):
    """A set that names it twice would be refused."""
    first, second, *_ = predictions.images
    ids = ((first, 7), (second, 8), (first, 9))
    images = tuple(replace(image, image_id=id_) for image, id_ in ids)
    summary = export_annotations(replace(predictions, images=images), tmp_path / "export")
    assert summary.images == 2
    (problem,) = summary.problems
    assert f"image {first.path} of the id 9 is the same file as an image before it" in problem


def test_moved_added_and_deleted_boxes(export, run):
    content = export.submit_all()
    first, second, third, _ = (task["annotations"][0]["result"] for task in content)
    first[0]["value"]["x"] += 100 * 2 / 96  # two pixels to the right
    del first[1]
    region = json.loads(json.dumps(second[0]))
    region["id"] = "new"
    region["value"] |= {"x": 0, "y": 0, "width": 50, "height": 25}
    third.append(region)
    second.clear()
    summary, found = run(content)
    assert summary.lesions == {"changed": 1, "added": 1, "deleted": 2}
    assert (summary.reviewed, summary.normal) == (4, 2)
    (changed,), nothing, (added,), _ = found.values()
    assert changed[:2] == ("changed", "malignant")
    assert changed[2] == pytest.approx([12.25, 20.5, 30.5, 40.625], abs=1e-9)
    assert nothing == []
    assert added == ("added", "malignant", [0, 0, 48, 32])


def test_a_copy_at_the_very_place_is_one_lesion(export, run):
    """Tools paste a copied shape where it was, so that nobody sees two."""
    content = export.submit_all()
    first = content[0]["annotations"][0]["result"]
    polygon = {
        **{key: first[0][key] for key in ("original_width", "original_height")},
        "type": "polygonlabels",
        "value": {"points": [[60, 10], [80, 10], [80, 20]], "polygonlabels": ["malignant"]},
    }
    first += [first[0] | {"id": "copy"}, polygon, polygon | {"id": "copy of the polygon"}]
    summary, found = run(content)
    assert summary.lesions == {"kept": 3, "added": 1, "deleted": 0}
    (note,) = summary.notes
    assert "2 copies of a shape at its very place left out" in note
    assert sorted(map(len, found.values())) == [0, 0, 1, 3]


def test_polygon_is_an_outline_in_stored_pixels(make_export, tmp_path):
    export = make_export(max_size=64)  # half the size
    content = export.submit_all()
    region = content[0]["annotations"][0]["result"][0]
    corners = [(10.0, 20.0), (40.0, 22.0), (25.0, 60.0)]
    region["type"] = "polygonlabels"
    region["value"] = {
        "points": [[100 * x / 96, 100 * y / 128] for x, y in corners],
        "closed": True,
        "polygonlabels": ["malignant"],
    }
    summary = import_annotations(export.folder, export.write(content), tmp_path / "set.json")
    annotation = json.loads((tmp_path / "set.json").read_text())["annotations"][0]
    (outline,) = annotation["segmentation"]
    assert np.abs(np.reshape(outline, (-1, 2)) - corners).max() < 1e-6
    assert annotation["bbox"] == pytest.approx([10, 20, 30, 40], abs=1e-6)
    assert summary.lesions == {"changed": 1, "kept": 2, "deleted": 0}


@pytest.mark.parametrize(
    ("degrees", "wanted"),
    [(90, [10, 30, 10, 20]), (-90, [20, 10, 10, 20]), (450, [10, 30, 10, 20])],
    ids=["clockwise", "counterclockwise", "more than a turn"],
)
def test_turned_box_becomes_a_polygon(export, run, degrees, wanted):
    """About its upper left corner, (20, 30), 20 wide and 10 high before the turn."""
    content = export.submit_all()
    value = content[2]["annotations"][0]["result"]
    region = json.loads(json.dumps(content[0]["annotations"][0]["result"][0]))
    region["value"] |= {
        "x": 100 * 20 / 96,
        "y": 100 * 30 / 128,
        "width": 100 * 20 / 96,
        "height": 100 * 10 / 128,
        "rotation": degrees,
    }
    value.append(region)
    summary, found = run(content)
    (note,) = summary.notes
    assert f"turned by {degrees} degrees became a polygon" in note
    ((_, _, box),) = found[list(found)[2]]
    assert box == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("merged", [False, True])
def test_faulty_facts_of_a_header_cost_no_work_of_a_reader(
    make_export, tmp_path, phantoms, predictions, merged
):
    source = tmp_path / "scan.dcm"
    dataset = pydicom.dcmread(phantoms[0])
    dataset.PatientID, dataset.ViewPosition = ["A", "17"], ["CC", "MLO"]
    dataset.save_as(source)
    image = replace(predictions.images[0], path=source)
    assert find_patients([image]) == ["patient A\\17"]
    export = make_export(predictions=replace(predictions, images=(image,)))
    other = {"id": 1, "file_name": "other.dcm", "width": 96, "height": 128}
    shutil.copy(phantoms[1], tmp_path / "other.dcm")
    original = {"annotations": [], "categories": [{"id": 1, "name": "malignant"}]}
    summary = import_annotations(
        export.folder,
        export.write(export.submit_all(), "annotations.json"),
        tmp_path / "set.json",
        merge_with=export.write(original | {"images": [other]}) if merged else None,
    )
    assert (summary.reviewed, summary.lesions["kept"], summary.problems) == (1, 2, ())
    (note,) = summary.notes
    assert f"image {source}: the set does not tell its view" in note
    record = json.loads((tmp_path / "set.json").read_text())["images"][-1]
    assert record["patient_id"] == "A\\17"
    assert "view" not in record


class TestImagesThatNobodyHasSeen:
    """They are no normal images."""

    @pytest.fixture(params=["open", "skipped", "draft"])
    def content(self, request, export):
        content = export.submit_all()
        task = content[2]
        if request.param == "skipped":
            task["annotations"][0]["was_cancelled"] = True
        else:
            drafts = [task["annotations"].pop()]
            task["drafts"] = drafts if request.param == "draft" else []
        return content

    def test_are_in_no_set(self, content, run, phantoms):
        summary, found = run(content)
        assert (summary.reviewed, summary.normal, summary.not_reviewed) == (3, 1, 1)
        assert not any(phantoms[2].name in name for name in found)

    def test_file_without_any_review_is_refused(self, export, run):
        content = export.submit_all()
        for task in content:
            task["annotations"] = []
        with pytest.raises(InputError, match="no image that was reviewed"):
            run(content)

    def test_images_that_the_file_lacks_are_counted(self, export, run):
        """Label Studio exports submitted tasks alone unless it is asked for all."""
        summary, found = run(export.submit_all()[:1])
        assert (summary.reviewed, summary.absent) == (1, 3)
        assert len(found) == 1


class TestImagesThatAreLeftOut:
    """Each with a sentence that names it; the rest is taken over."""

    def check(self, export, run, change, words, **options):
        content = export.submit_all()
        change(content)
        summary, found = run(content, **options)
        (problem,) = summary.problems
        assert words in problem
        assert summary.reviewed == len(found) == 3
        return problem

    def region_changed(self, **changes):
        def change(content):
            region = content[0]["annotations"][0]["result"][0]
            for key, value in changes.items():
                target = region if key in region else region["value"]
                target[key] = value

        return change

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"rectanglelabels": ["cyst"]}, "unknown label 'cyst'"),
            ({"rectanglelabels": ["malignant", "cyst"]}, "must have one"),
            ({"rectanglelabels": []}, "must have one"),
            ({"type": "brushlabels"}, 'type "brushlabels"'),
            ({"type": "choices"}, 'type "choices"'),
            ({"image_rotation": 90}, "turned in Label Studio"),
            ({"original_width": 48}, "several sizes"),
            ({"original_width": None}, "does not tell the size"),
            ({"x": None}, "not 4 numbers"),
            ({"x": float("nan")}, "not finite"),
            ({"x": 98}, "out of the picture"),
            ({"x": -200}, "out of the picture"),
            ({"width": 0}, "no area"),
        ],
        ids=lambda value: (
            "-".join(f"{k}-{v}" for k, v in value.items()) if isinstance(value, dict) else "words"
        ),
    )
    def test_faulty_shape(self, export, run, changes, words):
        problem = self.check(export, run, self.region_changed(**changes), words)
        assert export.names[0] in problem

    def test_picture_of_another_size(self, export, run):
        def change(content):
            for region in content[0]["annotations"][0]["result"]:
                region |= {"original_width": 48, "original_height": 64}

        self.check(export, run, change, "was exported at (96, 128)")

    def test_several_readers(self, export, run):
        def change(content):
            content[0]["annotations"] *= 2

        self.check(export, run, change, "annotated 2 times")

    def test_stranger(self, export, run):
        def change(content):
            content[3]["data"] = {"image": "/data/upload/1/0a1b2c3d-other.png"}

        self.check(export, run, change, "image other is none of the export")

    def test_two_tasks_of_an_image(self, export, tmp_path):
        content = export.submit_all()
        content.append(content[1])
        output = tmp_path / "set.json"
        summary = import_annotations(export.folder, export.write(content), output)
        assert summary.problems == (f"image {export.names[1]} is in the file several times",)
        assert summary.reviewed == 3

    @pytest.mark.parametrize("what", ["changed", "gone"])
    def test_source(self, tmp_path, phantoms, predictions, what):
        """The map leads to the pixels of the file that was exported, and of no other."""
        path = tmp_path / "scan.dcm"
        shutil.copy(phantoms[0], path)
        images = (ScoredImage(path, ()), predictions.images[1])
        export_annotations(replace(predictions, images=images), tmp_path / "out")
        submit_nothing(tmp_path / "out", tmp_path / "done.json")
        if what == "gone":
            path.unlink()
        else:
            path.write_bytes(phantoms[1].read_bytes())
        done, output = tmp_path / "done.json", tmp_path / "set.json"
        summary = import_annotations(tmp_path / "out", done, output)
        (problem,) = summary.problems
        assert str(path) in problem
        assert {"changed": "has changed since", "gone": "cannot be read"}[what] in problem
        assert summary.reviewed == 1


def test_ground_truth_decides_between_readers(export, run):
    content = export.submit_all()
    other = json.loads(json.dumps(content[0]["annotations"][0]))
    other |= {"result": [], "ground_truth": True}
    content[0]["annotations"].append(other)
    summary, _ = run(content)
    assert summary.problems == ()
    assert summary.normal == 3


def test_uploaded_pictures_are_known_by_their_file(export, run):
    """Where tasks were made by an upload of the pictures."""
    content = export.submit_all()
    for task in content:
        task["data"] = {"image": f"/data/upload/7/0a1b2c3d-{task['data']['name']}.png"}
    summary, found = run(content)
    assert (summary.reviewed, summary.problems) == (4, ())
    assert len(found) == 4


def test_classes_that_readers_added(export, run):
    content = export.submit_all()
    content[0]["annotations"][0]["result"][0]["value"]["rectanglelabels"] = ["benign"]
    summary, found = run(content, classes=["malignant", "benign"])
    assert summary.problems == ()
    assert ("changed", "benign", list(FIRST)) in next(iter(found.values()))


@pytest.mark.parametrize("classes", [["a", "A"], [""], []], ids=["twice", "empty", "none"])
def test_faulty_classes_are_refused(export, run, classes):
    with pytest.raises(InputError, match="classes"):
        run(export.submit_all(), classes=classes)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"images": []}, "which does not tell the images"),
        ([{"image": "a.png", "label": []}], "not JSON-MIN"),
        ("[", "cut off"),
        ([{"data": {}, "annotations": []}], "neither a name nor an image"),
    ],
    ids=["object", "min", "cut", "no image"],
)
def test_files_of_another_kind_are_refused(export, run, content, words):
    with pytest.raises(InputError, match=words):
        run(content)


def test_folder_that_is_no_export(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": "medmask annotation export"}')
    with pytest.raises(InputError, match="no manifest of"):
        import_annotations(tmp_path, tmp_path / "a.json", tmp_path / "set.json")


class TestImageFolder:
    def test_that_of_the_data_set(self, tmp_path, predictions):
        """Names and ids are those of the set."""
        root = predictions.images[0].path.parents[2]
        images = tuple(
            replace(image, file_name=str(image.path.relative_to(root)), image_id=40 + number)
            for number, image in enumerate(predictions.images)
        )
        export_annotations(replace(predictions, images=images), tmp_path / "out")
        submit_nothing(tmp_path / "out", tmp_path / "done.json")
        output = tmp_path / "set.json"
        summary = import_annotations(tmp_path / "out", tmp_path / "done.json", output)
        assert summary.image_root == root
        records = json.loads(output.read_text())["images"]
        assert [x["id"] for x in records] == [40, 41, 42, 43]
        assert [x["file_name"] for x in records] == [x.file_name for x in images]

    @pytest.fixture
    def linked(self, tmp_path, phantoms, predictions):
        """A data set of links, as `medmask convert --link` makes it, that was reviewed."""
        root = tmp_path / "images"
        (root / "a").mkdir(parents=True)
        images, records = [], []
        for number, path in enumerate(phantoms[:2], start=1):
            link = root / "a" / f"image{number}.dcm"
            link.symlink_to(path)
            image = PredictionImage(link, str(link.relative_to(root)), image_id=number)
            record = {"id": number, "file_name": image.file_name, "width": 96, "height": 128}
            records.append(record)
            images.append(image)
        content = {"images": records, "annotations": [], "categories": [{"id": 1, "name": "a"}]}
        (tmp_path / "instances.json").write_text(json.dumps(content))
        predict_images(CenterDetector(), images, tmp_path / "predictions")
        export_annotations(read_predictions(tmp_path / "predictions"), tmp_path / "out")
        submit_nothing(tmp_path / "out", tmp_path / "done.json")
        return root

    @pytest.mark.parametrize("merged", [False, True], ids=["alone", "merged"])
    @pytest.mark.parametrize("named", [False, True], ids=["found", "named"])
    def test_that_of_a_data_set_of_links(self, linked, tmp_path, named, merged):
        output = tmp_path / "set.json"
        summary = import_annotations(
            tmp_path / "out",
            tmp_path / "done.json",
            output,
            image_root=linked if named else None,
            merge_with=tmp_path / "instances.json" if merged else None,
        )
        assert summary.image_root == linked
        names = [x["file_name"] for x in json.loads(output.read_text())["images"]]
        assert names == ["a/image1.dcm", "a/image2.dcm"]

    def test_that_was_moved_behind_a_link(self, linked, tmp_path):
        """The folder that is named is another than that of the predictions."""
        (tmp_path / "other").symlink_to(linked)
        output, root = tmp_path / "set.json", tmp_path / "other"
        import_annotations(tmp_path / "out", tmp_path / "done.json", output, image_root=root)
        names = [x["file_name"] for x in json.loads(output.read_text())["images"]]
        assert names == ["a/image1.dcm", "a/image2.dcm"]

    def test_that_is_not_the_one_of_the_set_to_merge_with(self, linked, tmp_path):
        with pytest.raises(InputError, match=r"(?s)image1\.dcm.* is not in .*with --images"):
            import_annotations(
                tmp_path / "out",
                tmp_path / "done.json",
                tmp_path / "set.json",
                image_root=tmp_path,
                merge_with=tmp_path / "instances.json",
            )

    def test_that_does_not_hold_the_images_is_refused(self, export, run, tmp_path):
        with pytest.raises(InputError, match="is not in"):
            run(export.submit_all(), image_root=tmp_path)
