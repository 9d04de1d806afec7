"""Runs in the real MLflow, in stores on the disk, read back."""

import logging
from pathlib import Path

import pytest

from medmask.engine.tracking.mlflow_tracker import MlflowTracker, accepted_name, flatten
from medmask.engine.tracking.tracked_run import TrackedRun

LONG = list(range(5000))


def describe(folder, **train):
    config = {"train": {"seed": 3, **train}, "many": {f"k{i}": i for i in range(230)}, "long": LONG}
    return TrackedRun("0123456789abcdef", folder, config, {"torch": "2.11", "python": "3.11"})


def track(uri, run, start, stop, finished):
    tracker = MlflowTracker(uri, "breasts", None)
    tracker.open(run)
    for iteration in range(start, stop):
        tracker.log({"total_loss": iteration / 4, "froc/R@0.3": 0.5}, iteration)
    tracker.close(finished)


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_a_run_and_its_resumption_are_one_run(kind, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/store.db" if kind == "sqlite" else f"file:{tmp_path}/store"
    track(uri, describe(tmp_path, max_iter=4), 0, 3, finished=False)
    client = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = [x for x in client.search_experiments() if x.name == "breasts"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"

    track(uri, describe(tmp_path, max_iter=9), 3, 5, finished=True)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == str(tmp_path)
    history = client.get_metric_history(run.info.run_id, "total_loss")
    assert sorted((x.step, x.value) for x in history) == [(i, i / 4) for i in range(5)]
    assert run.data.metrics["froc/R_at_0.3"] == 0.5
    assert run.data.params["train.seed"] == "3"
    assert run.data.params["train.max_iter"] == "4"  # that of the first start
    assert run.data.params["many.k229"] == "229"
    assert run.data.params["long"] == str(LONG)[:6000]
    assert run.data.tags["version.torch"] == "2.11"
    assert Path(run.data.tags["output_dir"]) == tmp_path


def test_a_server_that_is_not_there_raises_without_a_word_for_each_attempt(monkeypatch, caplog):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    tracker = MlflowTracker("http://127.0.0.1:9", "breasts", None)
    with caplog.at_level(logging.INFO), pytest.raises(Exception, match="Connection refused"):
        tracker.open(describe(Path("output")))
    assert caplog.messages == []


def test_names_are_those_that_mlflow_takes():
    assert accepted_name("froc/R@0.3") == "froc/R_at_0.3"
    assert accepted_name("teacher/bbox AP-50") == "teacher/bbox AP-50"
    assert accepted_name("a[0]") == "a_0_"


def test_groups_become_keys():
    values = {"train": {"seed": 3, "name": None}, "empty": {}, "list": [1, {"a": 2}]}
    assert dict(flatten(values)) == {
        "train.seed": "3",
        "train.name": "None",
        "empty": "{}",
        "list": "[1, {'a': 2}]",
    }
