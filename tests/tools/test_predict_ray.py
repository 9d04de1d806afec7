"""Prediction by a cluster of Ray from the command line, as a user runs it."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_runs import write_fresh_run
from toy_image_detector import write_images

pytest.importorskip("ray", reason="Ray is not installed")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def predict(tmp_path):
    """Runs ``medmask predict`` in a folder of images and weights, which are named from there."""
    write_fresh_run(tmp_path)
    write_images(tmp_path / "scans", [40, 80, 120])

    def run(*options):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else one is kept in HOME
            "RAY_worker_niceness": "0",  # else a busy machine starves them
            "RAY_memory_monitor_refresh_ms": "0",  # what others take is none of its own
        }
        environment.pop("RAY_ADDRESS", None)
        command = [sys.executable, "-m", "medmask", "predict", "--checkpoint", "model.pth"]
        return subprocess.run(
            [*command, "--device", "cpu", "--no-overlays", *options],  # of two, the last counts
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )

    return run


def test_detections_are_those_of_the_model_in_the_process_itself(predict, tmp_path):
    here = predict("scans", "--output", "here")
    assert here.returncode == 0, here.stderr
    (tmp_path / "scans" / "note.png").write_text("no image")
    there = predict("scans", "--output", "there", "--engine", "ray", "--replicas", "1")
    assert there.returncode == 1, there.stderr
    assert "3 of 4 images (0 done before, 0 failed, 1 refused, 0 left out): there" in there.stdout
    (problem,) = [line for line in there.stderr.splitlines() if line.startswith("error:")]
    assert "note.png" in problem
    assert "Traceback" not in there.stderr
    expected, found = (
        json.loads((tmp_path / name / "detections.json").read_text()) for name in ("here", "there")
    )
    assert len(expected) > 3
    assert [x["file_name"] for x in found] == [x["file_name"] for x in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-3)
    # and the model here goes on with what the cluster has done
    again = predict("scans", "--output", "there")
    assert "3 of 4 images (3 done before, 0 failed, 1 refused, 0 left out)" in again.stdout, (
        again.stderr
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--engine", "ray", "--mirrored"], "--mirrored needs --engine local"),
        (["--engine", "ray", "--device", "gpu"], "--device is 'gpu', but with --engine ray auto"),
        (["--engine", "ray", "--replicas", "0"], "at least 1, got 0"),
        (["--engine", "ray", "--workers", "-1"], "workers must be at least 0, got -1"),
        (["--replicas", "2"], "--replicas needs --engine ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(predict, tmp_path, options, words):
    result = predict("scans", "--output", "out", *options)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
