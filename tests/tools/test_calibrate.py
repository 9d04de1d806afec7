"""``medmask calibrate`` as a user runs it."""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from medmask.commands.calibrate import main

OPTIONS = ("--annotations", "truth.json", "--detections", "found.json", "--bootstrap", "50")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """60 images of 30 patients, half of them with a lesion, and a detector that finds most."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    truth = {
        "images": [{"id": i, "patient_id": i // 2} for i in range(60)],
        "categories": [{"id": 1, "name": "malignant"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 20, 20]}
            for i in range(0, 60, 2)
        ],
    }
    found = [
        {"image_id": i, "category_id": 1, "bbox": [10, 10, 20, 20], "score": random.uniform(0, 0.6)}
        for i in range(60)
    ]
    for detection in found[::2]:
        detection["score"] += 0.2
    Path("run").mkdir()
    Path("run/model_best.pth").write_bytes(b"weights")
    Path("truth.json").write_text(json.dumps(truth))
    Path("found.json").write_text(json.dumps(found))
    return tmp_path


def run(*options):
    with pytest.raises(SystemExit) as end:
        main(["--checkpoint", "run/model_best.pth", *options], "calibrate")
    return end.value.code


def test_from_detections_to_files(folder, capsys):
    assert run(*OPTIONS, "--plot", "out/plot.png") == 0
    content = json.loads(Path("run/calibration.json").read_text())
    assert content["source"]["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert content["source"]["data_name"] == "truth.json"
    assert content["settings"]["hit_rule"] == "lesion_box"
    assert [point["fpi"] for point in content["operating_points"]] == [0.1, 0.2, 0.3, 0.5, 1, 2, 4]
    for point in content["operating_points"]:
        low, high = point["threshold_interval"]
        assert 0 <= low <= high <= 1
        assert point["attained_fpi"] <= point["fpi"]
    assert content["counts"]["hits_calibrated"] == 30
    assert content["detections"]["calibrator"]["slope"] > 0
    assert content["detections"]["out_of_fold"]["ece"] > 0
    assert content["versions"]["numpy"] == np.__version__
    assert Path("out/plot.png").read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().out
    assert "60 images of 30 patients, 30 lesions in 30 images" in output
    assert "threshold at 0.5 and 1 and 2 and 4 is 0" in output
    assert "in 50.0% of the images" in output


def test_reader_that_goes_away_loses_no_file(folder, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=1) as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        assert run(*OPTIONS) == 141
    assert json.loads(Path("run/calibration.json").read_text())["counts"]["lesions"] == 30


def test_calibration_of_other_weights_of_the_folder_is_not_replaced(folder, capsys):
    assert run(*OPTIONS) == 0
    before = Path("run/calibration.json").read_bytes()
    Path("run/teacher_best.pth").write_bytes(b"other weights")
    other = (*OPTIONS, "--checkpoint", "run/teacher_best.pth")
    assert run(*other) == 2
    words = "error: run/calibration.json is the calibration of model_best.pth: name another file"
    assert words in capsys.readouterr().err
    assert Path("run/calibration.json").read_bytes() == before
    assert run(*other, "--output", "run/teacher.json") == 0
    assert run(*OPTIONS, "--seed", "3") == 0  # its own is made anew
    Path("run/model_best.pth").unlink()
    assert run(*other) == 0
    content = json.loads(Path("run/calibration.json").read_text())
    assert content["source"]["weights_file"] == "teacher_best.pth"
    Path("run/calibration.json").write_text("{")  # nothing that could be lost
    assert run(*other) == 0


def test_options_reach_the_calibration(folder):
    options = ("--method", "isotonic", "--fpi", "0.25", "--nms-iou", "none", "--iou", "0.5")
    assert run(*OPTIONS, *options, "--bootstrap", "0", "--seed", "3", "--output", "c.json") == 0
    content = json.loads(Path("c.json").read_text())
    assert content["detections"]["calibrator"]["method"] == "isotonic"
    settings = content["settings"]
    assert (settings["nms_iou"], settings["iou_threshold"], settings["seed"]) == (None, 0.5, 3)
    (point,) = content["operating_points"]
    assert (point["fpi"], point["threshold_interval"]) == (0.25, None)
    assert not Path("run/calibration.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--annotations", "truth.json"), "--annotations needs --detections"),
        ((*OPTIONS, "--fpi", "0"), "operating points must be different and above 0"),
        ((*OPTIONS, "--folds", "1"), "folds must be a whole number from 2"),
        ((*OPTIONS, "--output", "found.json"), "--output and --detections are both found.json"),
        ((*OPTIONS, "--output", "run/model_best.pth"), "--output and --checkpoint are both"),
        ((*OPTIONS, "--checkpoint", "typo/a.pth"), "checkpoint typo/a.pth cannot be read"),
        ((*OPTIONS, "--checkpoint", ""), "checkpoint . cannot be read"),
        ((*OPTIONS, "--plot", "run"), "is a directory"),
        ((*OPTIONS, "--plot", ""), "--plot is empty: name a file"),
    ],
    ids=[
        "labels",
        "fpi",
        "folds",
        "output",
        "checkpoint_as_output",
        "checkpoint",
        "checkpoint_without_name",
        "plot",
        "plot_without_name",
    ],
)
def test_mistakes_are_one_sentence(folder, capsys, options, words):
    assert run(*options) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert not Path("typo").exists()


def test_set_without_lesions_is_refused(folder, capsys):
    truth = json.loads(Path("truth.json").read_text())
    Path("truth.json").write_text(json.dumps(truth | {"annotations": []}))
    assert run(*OPTIONS) == 2
    assert "truth.json has no lesion" in capsys.readouterr().err
    assert not Path("run/calibration.json").exists()
