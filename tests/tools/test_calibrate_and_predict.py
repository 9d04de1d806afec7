"""From a calibration that runs the model to predictions at its operating point."""

import json
import shutil

import pytest
import torch
from fresh_runs import write_fresh_run
from isolation import ROOT, assert_accepted, assert_refused, run_tool

from medmask.phantom import PhantomParameters, make_phantom_dataset

CONFIG = str(ROOT / "configs" / "medmask" / "phantom" / "source_only.py")
LEAST_RATE, MOST_RATE = "4", "30"


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_phantom_dataset(
        root / "phantom",
        PhantomParameters(width=48, height=64, positive_fraction=0.7),
        split_sizes={"val": 8},
        domains=["film"],
    )
    return root


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Fresh weights and their config."""
    folder = tmp_path_factory.mktemp("run")
    write_fresh_run(folder, seed=15)
    return folder


def run(tool, run_folder, datasets, *options):
    return run_tool(
        tool,
        *("--checkpoint", run_folder / "model.pth", "--device", "cpu"),
        *("--dataset", "phantom_film_val", *options),
        environment={"DETECTRON2_DATASETS": str(datasets)},
        seconds=240,
    )


def test_annotations_of_a_registered_set_are_not_replaced(run_folder, datasets):
    (annotations,) = (datasets / "phantom" / "film").rglob("*val*.json")
    before = annotations.read_bytes()
    outcome = run("calibrate.py", run_folder, datasets, "--output", annotations)
    assert_refused(outcome, "--output and --dataset phantom_film_val are both")
    assert annotations.read_bytes() == before


def test_calibration_and_predictions_agree(run_folder, datasets, tmp_path):
    rates = ("--fpi", LEAST_RATE, MOST_RATE, "--bootstrap", 20)
    outcome = run("calibrate.py", run_folder, datasets, *rates)
    assert_accepted(outcome)
    content = json.loads((run_folder / "calibration.json").read_text())
    assert content["source"]["data_name"] == "phantom_film_val"
    assert content["counts"]["images"] == 8
    output = tmp_path / "predictions"
    options = ("--no-overlays", "--operating-point", LEAST_RATE, "--output", output)
    outcome = run("predict.py", run_folder, datasets, *options)
    assert_accepted(outcome)
    assert "Probabilities are calibrated on phantom_film_val" in outcome.output
    found = json.loads((output / "detections.json").read_text())
    assert len(found) == content["counts"]["detections_after_nms"]
    shown = [x for x in found if x["score"] >= content["operating_points"][0]["threshold"]]
    assert len(shown) >= content["operating_points"][0]["attained_fpi"] * 8
    assert all(0 <= x["probability"] <= 1 for x in found)

    plain = run("predict.py", run_folder, datasets, "--no-overlays", "--output", tmp_path / "plain")
    assert_accepted(plain)
    assert "Scores are not calibrated" in plain.output

    from_file = ("--detections", output / "detections.json", "--output", tmp_path / "again.json")
    assert_accepted(run("calibrate.py", run_folder, datasets, *rates, *from_file))
    again = json.loads((tmp_path / "again.json").read_text())
    for key in ("operating_points", "detections", "images", "lowest_score"):
        assert again[key] == content[key], key

    others = tmp_path / "others"
    shutil.copytree(run_folder, others)
    weights = torch.load(others / "model.pth", weights_only=True)
    torch.save(weights | {"iteration": 1}, others / "model.pth")
    options = (*options[:-1], tmp_path / "refused")
    outcome = run("predict.py", others, datasets, *options)
    assert_refused(outcome, "calibration.json is the calibration of other weights")
