"""Tracked training runs, with stand-ins for wandb and mlflow on the search path."""

import copy
import json
import os

import pytest
from tracker_stand_ins import STAND_INS

CONFIG = "phantom/source_only.py"


@pytest.fixture
def tracked_runs(training_runs, tmp_path):
    """Training runs that find the stand-ins, and a key for wandb."""
    runs = copy.copy(training_runs)
    path = os.pathsep.join([STAND_INS, training_runs.environment["PYTHONPATH"]])
    runs.environment = training_runs.environment | {
        "PYTHONPATH": path,
        "WANDB_STAND_IN": str(tmp_path / "wandb.jsonl"),
        "WANDB_API_KEY": "k",
    }
    return runs


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_killed_run_goes_on_in_the_same_tracked_run(tracked_runs, tmp_path):
    output, store = tmp_path / "run", tmp_path / "mlflow.json"
    command = tracked_runs.command(
        CONFIG,
        output,
        "train.wandb.enabled=true",
        "train.wandb.project=breasts",
        "train.mlflow.enabled=true",
        "train.mlflow.name=first",
        f"train.mlflow.tracking_uri={store}",
    )
    tracked_runs.run_and_kill(command, output, 7)
    done = tracked_runs.run([*command, "train.mlflow.name=second", "--resume"])
    assert done.returncode == 0, done.stderr

    metrics = {
        line.pop("iteration"): {name: x for name, x in line.items() if x is not None}
        for line in read_lines(output / "metrics.json")
    }
    notes = read_lines(tmp_path / "wandb.jsonl")
    first, second = [x for x in notes if x["kind"] == "init"]
    assert first["id"] == second["id"]
    assert (first["project"], first["name"], first["dir"]) == ("breasts", str(output), str(output))
    assert first["config"]["train"]["seed"] == 0
    assert first["config"]["output_dir"] == str(output)
    assert {"medmask", "torch", "command"} <= first["config"]["versions"].keys()
    assert notes[-1] == {"kind": "finish", "exit_code": 0}
    after = notes[notes.index(second) :]
    steps = [x["step"] for x in after if x["kind"] == "log"]
    assert steps == list(range(steps[0], 12))
    for note in after:
        if note["kind"] == "log":
            assert note["metrics"] == metrics[note["step"]]

    ((run,),) = json.loads(store.read_text()).values()
    assert run["name"] == "first"
    assert run["statuses"] == ["RUNNING", "RUNNING", "FINISHED"]
    assert run["params"]["train.max_iter"] == "12"
    values = {x["step"]: x["value"] for x in run["metrics"] if x["key"] == "total_loss"}
    last = steps[0]
    assert all(values[i] == metrics[i]["total_loss"] for i in range(last, 12))
    assert any(x["key"] == "froc/R_at_0.3" for x in run["metrics"])


@pytest.mark.parametrize("method", ["init", "log"])
def test_a_tracker_without_a_network_does_not_stop_a_run(method, tracked_runs, tmp_path):
    tracked_runs.environment["STAND_IN_FAILS"] = method
    command = tracked_runs.command(
        CONFIG, tmp_path / "run", "train.wandb.enabled=true", "train.max_iter=3"
    )
    done = tracked_runs.run(command)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("no route to host") == 1
    assert len(read_lines(tmp_path / "run" / "metrics.json")) == 3


def test_of_several_processes_one_is_tracked(tracked_runs, tmp_path):
    command = tracked_runs.command(
        CONFIG, tmp_path / "run", "train.wandb.enabled=true", "train.max_iter=2", "--num-gpus=2"
    )
    done = tracked_runs.run(command)
    assert done.returncode == 0, done.stderr
    kinds = [x["kind"] for x in read_lines(tmp_path / "wandb.jsonl")]
    assert kinds == ["init", "log", "log", "finish"]
