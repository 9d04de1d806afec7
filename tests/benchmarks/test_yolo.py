"""YOLO as a user has it: a program of another environment, here one that writes what it would."""

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from real_mammograms import yolo
from real_mammograms.cell_config import load_cell_config
from real_mammograms.cells import Cell
from real_mammograms.order import Order
from real_mammograms.yolo_files import read_detections, write_images

from medmask.data import DetectionMapper, build_test_augmentation
from medmask.data.loaders import load_dataset_dicts
from medmask.errors import InputError
from medmask.evaluation import ground_truth_of
from medmask.evaluation import read_detections as read_results

ROOT = Path(__file__).parents[2]
TOOL = "benchmarks/detectors.py"
PROGRAM = """#!{python}
import json, os, sys
from pathlib import Path

assert "PYTHONPATH" not in os.environ
task, mode, *settings = sys.argv[1:]
assert task == "detect"
given = dict(setting.split("=", 1) for setting in settings)
folder = Path(given["project"]) / given["name"]
with open(Path(given["project"]) / "calls.jsonl", "a") as file:
    file.write(json.dumps([mode, given]) + "\\n")
if mode == "train":
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "last.pt").touch()
    (folder / "results.csv").write_text("epoch,      time\\n1,   1.5\\n2,   3.0\\n")
else:
    assert Path(given["model"]).is_file()
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    images = sorted(Path(given["source"]).glob("*.png"))
    for image in images[1:]:  # nothing is found in the first
        with open(folder / "labels" / (image.stem + ".txt"), "a") as file:
            file.write("0 0.5 0.25 0.5 0.25 0.875\\n")
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "yolo"
    path.write_text(PROGRAM.replace("{python}", sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def root(mammogram_trees, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(mammogram_trees))
    return mammogram_trees


def test_trains_and_reads_back_what_the_program_found(run_tool, root, program, tmp_path):
    weights = tmp_path / "start.pt"
    weights.touch()
    result = run_tool(
        TOOL,
        *("--methods", "yolo11n", "--yolo", program, "--yolo-weights", weights),
        *("--minutes", 3, "--output", os.path.relpath(tmp_path / "out", ROOT)),
        *("--set", "dataloader.train.total_batch_size=4", "train.device=cpu"),
    )
    folder = tmp_path / "out" / Cell("mias2inbreast", "yolo11n", "scratch", 0).name
    assert result.returncode == 0, (folder / "log.txt").read_text()
    calls = map(json.loads, (folder / "yolo" / "calls.jsonl").read_text().splitlines())
    (train_mode, train), (test_mode, _) = calls
    assert (train_mode, test_mode) == ("train", "predict")
    assert train["model"] == str(weights)
    assert Path(train["data"]).is_absolute()  # the program runs in a folder of its own
    assert float(train["time"]) == pytest.approx(3 / 60)
    assert int(train["imgsz"]) % 32 == 0

    description = json.loads(Path(train["data"]).read_text())
    assert description["names"] == {"0": "lesion"}
    images = Path(description["path"]) / description["train"]
    films = ground_truth_of("mini_mias_lesion_all")
    assert len(list(images.glob("*.png"))) == films.num_images
    labels = [path.read_text().splitlines() for path in images.parent.glob("labels/*.txt")]
    assert sum(map(len, labels)) == films.num_lesions

    record = json.loads((folder / "training.json").read_text())
    assert record["steps"] == 2 * -(-films.num_images // 4)
    assert record["minutes"] == pytest.approx(3.0 / 60)
    truth = ground_truth_of("inbreast_lesion_train")
    found = read_results(folder / "development" / "froc_detections.json", truth)
    assert len(found) == truth.num_images - 1
    assert set(found.scores) == {0.875}


def test_detections_of_an_interrupted_test_are_not_counted_twice(root, program, tmp_path):
    """YOLO appends to the files of detections that it finds."""
    cell = Cell("mias2inbreast", "yolo11n", "scratch", 0)
    order = Order(cell, tmp_path, ("development",), minutes=1, yolo=str(program))
    weights = order.folder / "yolo/run/weights/last.pt"
    left = order.folder / "yolo/development_detections/labels/000001.txt"
    for file in (weights, left):
        file.parent.mkdir(parents=True)
        file.touch()
    left.write_text("0 0.5 0.25 0.5 0.25 0.5\n")
    yolo.test(order, load_cell_config(order))
    truth = ground_truth_of("inbreast_lesion_train")
    found = read_results(order.folder / "development/froc_detections.json", truth)
    assert set(found.scores) == {0.875}
    assert len(found) == truth.num_images - 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--yolo", "no_such_program"), "no_such_program is no program that can be run"),
        (("--yolo-weights", "none.pt"), "none.pt is no file"),
        (("--minutes", "0"), "'0' is not a number of minutes above 0"),
    ],
    ids=["program", "weights", "minutes"],
)
def test_nonsense_is_refused(run_tool, options, words):
    result = run_tool(TOOL, "--methods", "yolo11n", *options)
    assert result.returncode == 2
    assert words in result.stderr


def test_boxes_are_written_as_shares_and_read_back_in_pixels(root, tmp_path):
    augmentation = build_test_augmentation(short_edge_length=96, max_size=200)
    mapper = DetectionMapper(with_boxes=True, augmentation=augmentation)
    dicts = load_dataset_dicts("inbreast_lesion_all")
    samples = write_images(dicts, mapper, tmp_path)
    for index, sample in enumerate(samples):
        height, width = sample["size"]
        assert cv2.imread(str(tmp_path / "images" / f"{index:06d}.png")).shape == (height, width, 3)
        written = (tmp_path / "labels" / f"{index:06d}.txt").read_text()
        path = tmp_path / "found.txt"
        path.write_text("".join(f"{line} 0.5\n" for line in written.splitlines()))
        found = read_detections(path, sample["size"])
        expected = sample["instances"].gt_boxes.tensor.numpy()
        np.testing.assert_allclose(found.pred_boxes.tensor.numpy(), expected, atol=1e-3)
    assert any(len(sample["instances"]) for sample in samples)


def test_lines_of_detections(tmp_path):
    path = tmp_path / "found.txt"
    assert len(read_detections(path, (10, 20))) == 0
    path.write_text("0 0.5 0.5 0.2 0.4 1.0000001\n")
    found = read_detections(path, (10, 20))
    assert torch.allclose(found.pred_boxes.tensor, torch.tensor([[8.0, 3.0, 12.0, 7.0]]))
    assert found.scores.tolist() == [1.0]
    for line in ("0 0.5 0.5 0.2 0.4", "0 a b c d e"):
        path.write_text(line)
        with pytest.raises(InputError, match="holds the line"):
            read_detections(path, (10, 20))
