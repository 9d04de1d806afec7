"""The script for a GPU, tried without one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"
PARTS = ["environment", "build", "tests", "operator", "step", "step_amp", "phantom"]
PARTS += ["memcheck", "racecheck"]
NEED_GPU = {"build", "tests", "memcheck", "racecheck"}


def run_script(*options: object, python: str = sys.executable) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", str(SCRIPT), *map(str, options)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"PYTHON": python},
    )


@pytest.mark.slow
def test_every_part_runs_on_the_cpu(tmp_path):
    result = run_script("--device", "cpu", "--quick", tmp_path / "gpu")
    assert result.returncode == 0, result.stdout
    summary = (tmp_path / "gpu" / "summary.txt").read_text()
    assert summary == result.stdout
    verdicts = dict(line.split(maxsplit=1) for line in summary.splitlines())
    assert list(verdicts) == PARTS
    for part, verdict in verdicts.items():
        assert (tmp_path / "gpu" / f"{part}.txt").exists()
        if part in NEED_GPU:
            assert verdict.endswith("skipped: nothing to run: --device cpu")
        else:
            assert verdict.endswith("passed")
    for part in ("operator", "step", "step_amp", "phantom"):
        assert json.loads((tmp_path / "gpu" / f"{part}.json").read_text())
    assert "deformops is not installed: left out" in (tmp_path / "gpu" / "operator.txt").read_text()


def test_a_part_that_fails_does_not_stop_the_next(tmp_path):
    result = run_script("--device", "cpu", "--quick", tmp_path, python="false")
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == PARTS
    failed = {line.split()[0] for line in lines if "failed with status 1: see" in line}
    assert failed == set(PARTS) - NEED_GPU


def test_parts_can_be_chosen(tmp_path):
    result = run_script("--device", "cpu", "--quick", tmp_path, "racecheck", "tests")
    assert result.returncode == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["tests", "racecheck"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "name a folder"),
        (["--device", "tpu", "out"], "--device is cuda or cpu"),
        (["--fast", "out"], "no option --fast"),
        (["out", "fast"], "no part fast"),
    ],
)
def test_refusals(options, sentence):
    result = run_script(*options)
    assert result.returncode == 2
    assert sentence in result.stderr
