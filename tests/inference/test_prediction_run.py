"""A run of predictions, with a detector that does what the test wants."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
import torch
from detectron2.data.datasets import register_coco_instances
from detectron2.data.transforms import AugmentationList
from detectron2.structures import Boxes, Instances

from medmask.errors import InputError
from medmask.evaluation import ground_truth_of, read_detections
from medmask.inference import (
    PredictionImage,
    PredictionOptions,
    WorkList,
    images_of_dataset,
    images_of_files,
    predict_images,
    prediction_run,
    prediction_worker,
)
from medmask.inference.class_labels import ClassLabels
from medmask.inference.image_reader import ImageReader


class Detector:
    """Finds one box in every image, with a score by its brightness."""

    labels = ClassLabels(("malignant",), (7,))
    reader = ImageReader(AugmentationList([]))

    def __init__(self):
        self.calls = 0
        self.faults = {}  # by brightness

    def settings(self):
        return {"weights": "abc"}

    def detect(self, inputs):
        self.calls += 1
        return [self._detect(x["image"], (x["height"], x["width"])) for x in inputs]

    def _detect(self, pixels, size):
        brightness = int(pixels[0, 0, 0])
        if brightness in self.faults:
            raise self.faults[brightness]
        return Instances(
            size,
            pred_boxes=Boxes(torch.tensor([[1.0, 1.0, 3.0, 4.0]])),
            scores=torch.tensor([brightness / 255]),
            pred_classes=torch.tensor([0]),
        )


@pytest.fixture
def detector():
    return Detector()


@pytest.fixture
def scans(tmp_path):
    """Images of brightness 10, 20, 30: a/x.png, b/x.png, c.png."""
    paths = [tmp_path / "in" / name for name in ("a/x.png", "b/x.png", "c.png")]
    for i, path in enumerate(paths):
        write_image(path, 10 * (i + 1))
    return paths


def write_image(path, brightness):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((6, 5), brightness, np.uint8))


def detections_of(output):
    return json.loads((output / "detections.json").read_text())


def test_only_image_of_a_file_is_one_as_frame_0_too(detector, scans, tmp_path):
    manifest = tmp_path / "in" / "list.csv"
    manifest.write_text("path,frame\nc.png,0\nc.png,\na/x.png,\na/x.png,0\nc.png#0,\n")
    for go_on in (False, True):
        summary = predict_images(detector, WorkList([manifest]), tmp_path / "out")
        assert (summary.images, summary.done_before) == (2, 2 * go_on)
        assert detector.calls == 2
        found = [x["file_name"] for x in detections_of(tmp_path / "out")]
        assert sorted(found) == ["a/x.png", "c.png#0"]
        assert len(list((tmp_path / "out" / "overlays").iterdir())) == 2
    assert len(images_of_files([scans[2], f"{scans[2]}#0", scans[0]])) == 2


def test_result_in_the_order_of_the_images(detector, scans, tmp_path):
    images = images_of_files([scans[2], scans[0], scans[1]])
    summary = predict_images(detector, images, tmp_path / "out")
    assert (summary.images, summary.done_before, summary.problems) == (3, 0, ())
    detections = detections_of(tmp_path / "out")
    assert [d["file_name"] for d in detections] == [image.file_name for image in images]
    assert detections[0] == {
        "image_id": None,
        "file_name": scans[2].as_posix(),
        "category_id": 7,
        "category_name": "malignant",
        "bbox": [1, 1, 2, 3],
        "score": float(np.float32(30 / 255)),
    }


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (InputError("the weights are broken"), "a/x.png: the weights are broken"),
        (MemoryError(), "a/x.png does not fit into memory"),
        (RuntimeError("line one\nline two"), "a/x.png cannot be predicted on (RuntimeError: line"),
        (cv2.error("resize"), "a/x.png cannot be predicted on (error: resize)"),
        (ZeroDivisionError(), "a/x.png cannot be predicted on (ZeroDivisionError"),
        (RecursionError(), "a/x.png cannot be predicted on (RecursionError"),
    ],
)
def test_no_fault_of_an_image_stops_the_rest(detector, scans, tmp_path, fault, words):
    detector.faults[10] = fault
    summary = predict_images(detector, images_of_files(scans), tmp_path / "out")
    (problem,) = summary.problems
    assert words in problem
    assert "\n" not in problem
    assert [d["file_name"] for d in detections_of(tmp_path / "out")] == [
        path.as_posix() for path in scans[1:]
    ]


def test_fault_in_drawing_is_one_of_the_image(detector, scans, tmp_path, monkeypatch):
    draw = prediction_worker.draw_overlay

    def fail_once(image, *arguments, **options):
        if image[0, 0, 0] == 20:
            raise cv2.error("out of memory")
        return draw(image, *arguments, **options)

    monkeypatch.setattr(prediction_worker, "draw_overlay", fail_once)
    summary = predict_images(detector, images_of_files(scans), tmp_path / "out")
    assert len(summary.problems) == 1
    assert "b/x.png" in summary.problems[0]
    assert len(detections_of(tmp_path / "out")) == 2


def test_image_that_failed_is_tried_again(detector, scans, tmp_path):
    detector.faults[10] = RuntimeError("once")
    predict_images(detector, images_of_files(scans), tmp_path / "out")
    detector.faults.clear()
    summary = predict_images(detector, images_of_files(scans), tmp_path / "out")
    assert (summary.done_before, summary.problems) == (2, ())
    assert detector.calls == 4
    assert len(detections_of(tmp_path / "out")) == 3


def test_full_disk_stops_all_and_keeps_what_is_done(detector, scans, tmp_path, monkeypatch):
    write = prediction_run.atomic_write

    def fail(path, *arguments):
        if path.name == "c.png":
            raise OSError(28, "No space left on device", str(path))
        return write(path, *arguments)

    monkeypatch.setattr(prediction_run, "atomic_write", fail)
    with pytest.raises(OSError, match="No space left"):
        predict_images(detector, images_of_files(scans), tmp_path / "out")
    monkeypatch.undo()
    summary = predict_images(detector, images_of_files(scans), tmp_path / "out")
    assert summary.done_before == 2
    assert detector.calls == 4


def test_pictures_of_one_name_stay_apart_and_keep_their_names(detector, scans, tmp_path):
    output = tmp_path / "out"
    predict_images(detector, images_of_files(scans[:2]), output)
    before = {path.name: path.read_bytes() for path in (output / "overlays").iterdir()}
    assert set(before) == {"a_x.png", "b_x.png"}
    write_image(tmp_path / "in" / "a_x.dcm.png", 40)
    write_image(tmp_path / "in" / "c" / "x.png", 50)
    write_image(tmp_path / "in" / "a_x.png", 60)
    more = [*scans, *(tmp_path / "in" / name for name in ("c/x.png", "a_x.png", "a_x.dcm.png"))]
    summary = predict_images(detector, images_of_files(more), output)
    assert (summary.images, summary.done_before) == (6, 2)
    after = {path.name: path.read_bytes() for path in (output / "overlays").iterdir()}
    assert len(after) == 6
    assert before.items() <= after.items()


def test_picture_that_is_gone_is_drawn_again(detector, scans, tmp_path):
    output = tmp_path / "out"
    predict_images(detector, images_of_files(scans), output)
    expected = (output / "overlays" / "c.png").read_bytes()
    (output / "overlays" / "c.png").unlink()
    summary = predict_images(detector, images_of_files(scans), output)
    assert (summary.done_before, summary.problems) == (2, ())
    assert (output / "overlays" / "c.png").read_bytes() == expected
    assert len(detections_of(output)) == 3


def test_file_that_is_named_twice_or_through_links_counts_once(scans, tmp_path):
    link = tmp_path / "in" / "link.png"
    link.symlink_to(scans[0])
    inside = os.path.join(scans[0].parent, "..", "a", "x.png")
    images = images_of_files([scans[0], link, inside, str(scans[0]), scans[1]])
    assert [image.path for image in images] == scans[:2]


def test_results_in_other_formats_get_what_is_new(detector, scans, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    all_formats = PredictionOptions(formats=("json", "csv", "parquet"))
    predict_images(detector, images_of_files(scans[:2]), tmp_path / "out", options=all_formats)
    predict_images(detector, images_of_files(scans), tmp_path / "out")
    assert len(detections_of(tmp_path / "out")) == 3
    for kind in ("images", "detections"):
        assert len((tmp_path / "out" / f"{kind}.csv").read_text().splitlines()) == 1 + 3
        assert parquet.read_table(tmp_path / "out" / f"{kind}.parquet").num_rows == 3


def test_other_images_in_the_folder_are_not_replaced(detector, scans, tmp_path):
    output = tmp_path / "out"
    predict_images(detector, images_of_files(scans[:2]), output)
    with pytest.raises(InputError, match=r"1 image that is not among the inputs \(first .*a/x"):
        predict_images(detector, images_of_files(scans[1:]), output)
    assert len(detections_of(output)) == 2
    predict_images(detector, images_of_files(scans[1:]), output, overwrite=True)
    assert len(detections_of(output)) == 2
    assert {path.name for path in (output / "overlays").iterdir()} == {"x.png", "c.png"}


def test_faulty_list_of_images_overwrites_nothing(detector, scans, tmp_path):
    output = tmp_path / "out"
    predict_images(detector, images_of_files(scans), output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}

    class Faulty:
        def __iter__(self):
            yield from images_of_files(scans)
            raise InputError("row 5 is empty")

    with pytest.raises(InputError, match="row 5 is empty"):
        predict_images(detector, Faulty(), output, overwrite=True)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_image_that_changed_is_refused(detector, scans, tmp_path):
    predict_images(detector, images_of_files(scans), tmp_path / "out")
    write_image(scans[1], 200)
    with pytest.raises(InputError, match=r"b/x.png has changed since"):
        predict_images(detector, images_of_files(scans), tmp_path / "out")


def test_weights_that_changed_are_refused_once_something_is_done(detector, scans, tmp_path):
    detector.faults = dict.fromkeys((10, 20, 30), RuntimeError("no weights"))
    predict_images(detector, images_of_files(scans), tmp_path / "out")
    detector.settings = lambda: {"weights": "other"}
    detector.faults.clear()
    predict_images(detector, images_of_files(scans), tmp_path / "out")
    detector.settings = lambda: {"weights": "third"}
    with pytest.raises(
        InputError, match=r"with weights=other, but now weights=third: .*--overwrite"
    ):
        predict_images(detector, images_of_files(scans), tmp_path / "out")


def test_results_of_another_program_are_not_replaced(detector, scans, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "detections.json").write_text("[]")
    with pytest.raises(InputError, match=r"holds detections\.json of another run"):
        predict_images(detector, images_of_files(scans), output)
    predict_images(detector, images_of_files(scans), output, overwrite=True)
    assert len(detections_of(output)) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [b"[]", *lines[1:]],
        lambda lines: [lines[0], b"\xff\xfe", *lines[2:]],
        lambda lines: [lines[0], b'{"path": 3}', *lines[2:]],
        lambda lines: [lines[0], lines[1].replace(b'"done"', b'"gone"'), *lines[2:]],
        lambda lines: [lines[0], lines[1].replace(b'"detections": [', b'"detections": [3,'), b""],
        lambda lines: [b"notes of the user, without an end of line"],
    ],
)
def test_damaged_record_is_refused_and_left_as_it_is(detector, scans, tmp_path, damage):
    output = tmp_path / "out"
    predict_images(detector, images_of_files(scans), output)
    journal = output / "predictions.jsonl"
    content = b"\n".join(damage(journal.read_bytes().split(b"\n")))
    journal.write_bytes(content)
    with pytest.raises(InputError, match=r"predictions.jsonl is damaged at line \d"):
        predict_images(detector, images_of_files(scans), output)
    assert journal.read_bytes() == content


def test_two_processes_do_not_share_a_folder(detector, scans, tmp_path):
    images = images_of_files(scans)

    def detect(inputs):
        with pytest.raises(InputError, match="another process is writing"):
            predict_images(Detector(), images, tmp_path / "out")
        return Detector().detect(inputs)

    first = type("First", (Detector,), {"detect": lambda self, inputs: detect(inputs)})()
    assert predict_images(first, images, tmp_path / "out").problems == ()


def test_classes_of_the_data_set_must_be_those_of_the_model(detector, scans, tmp_path):
    with pytest.raises(InputError, match="classes benign, but the model knows malignant"):
        predict_images(
            detector,
            images_of_files(scans),
            tmp_path / "out",
            labels=ClassLabels(("benign",), (1,)),
        )


def test_image_of_another_size_than_its_data_set_says_fails(detector, scans, tmp_path):
    images = [PredictionImage(scans[0], "a/x.png", image_id=3, size=(5, 6))]
    (problem,) = predict_images(detector, images, tmp_path / "out").problems
    assert "is 5 x 6 (width x height), but its data set says 6 x 5" in problem


@pytest.mark.parametrize("climbs", [False, True], ids=["absolute", "relative"])
def test_images_outside_the_folder_of_their_set_are_those_of_its_evaluation(
    detector, scans, tmp_path, climbs
):
    paths = [os.path.relpath(x, tmp_path / "set" / "images") if climbs else x for x in scans]
    records = [
        {"id": i, "file_name": str(path), "height": 6, "width": 5} for i, path in enumerate(paths)
    ]
    categories = [{"id": 1, "name": "malignant"}]
    annotations = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 2, 3], "iscrowd": 0}]
    json_file = tmp_path / "instances.json"
    content = {"images": records, "annotations": annotations, "categories": categories}
    json_file.write_text(json.dumps(content))
    (tmp_path / "set" / "images").mkdir(parents=True)
    name = f"outside_{tmp_path.name}"
    register_coco_instances(name, {}, str(json_file), str(tmp_path / "set" / "images"))
    predict_images(detector, images_of_dataset(name), tmp_path / "out")
    truth = ground_truth_of(name)
    assert len(read_detections(tmp_path / "out" / "detections.json", truth).scores) == 3


def test_folder_can_move(detector, scans, tmp_path, monkeypatch):
    """Names in the result are those of the last call, whatever the first one was given."""
    monkeypatch.chdir(scans[0].parent)
    predict_images(detector, images_of_files(["x.png"]), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "in")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    summary = predict_images(detector, images_of_files(["a/x.png"]), tmp_path / "elsewhere")
    assert summary.done_before == 1
    assert detections_of(tmp_path / "elsewhere")[0]["file_name"] == "a/x.png"


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), float("inf")])
def test_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(InputError, match="score threshold must be in"):
        PredictionOptions(threshold)


@pytest.mark.parametrize("name", [b"\xff.png", "größe 影像.png".encode(), b"a\nb.png", b"%s#1.png"])
def test_any_file_name(detector, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    write_image(tmp_path / "plain.png", 10)
    os.rename(tmp_path / "plain.png", path)
    for _ in range(2):
        summary = predict_images(detector, images_of_files([path]), tmp_path / "out")
        assert summary.problems == ()
    assert detector.calls == 1
    detections_of(tmp_path / "out")[0]["file_name"].encode()  # valid Unicode
