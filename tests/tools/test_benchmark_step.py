import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medmask.engine.step_clock import SECTIONS

ROOT = Path(__file__).parents[2]
QUICK = ("--repeats", 2, "--steps", 1, "--batch-size", 2, "train.device=cpu")


def run(*options, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "benchmark_step.py"), *map(str, options)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


@pytest.mark.slow
def test_both_operators_take_turns(tmp_path):
    config = ("--config-file", "configs/medmask/phantom2ffdm/cross_domain.py")
    output = ("--operator", "both", "--json", tmp_path / "step.json")
    result = run(*config, *QUICK, "--synthetic", "64x48", *output)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "step.json").read_text())
    assert figures["images_per_step"] == 2
    assert figures["runs"].keys() == {"medmask", "grid_sample"}
    for measured in figures["runs"].values():
        assert len(measured["turns"]) == 2
        assert all(turn.keys() == set(SECTIONS) for turn in measured["turns"])
        assert measured["peak_bytes"] > 1e8
    assert "| matching " in result.stdout
    assert "times as long" in result.stdout


@pytest.mark.slow
def test_data_of_the_config_are_loaded(datasets):
    result = run(*QUICK, "dataloader.train.num_workers=1", DETECTRON2_DATASETS=str(datasets))
    assert result.returncode == 0, result.stderr
    assert "images per second" in result.stdout


@pytest.mark.slow
def test_absent_data_are_named(tmp_path):
    result = run(*QUICK, DETECTRON2_DATASETS=str(tmp_path))
    assert result.returncode == 2
    assert "phantom_film_train" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_nonsense_is_refused():
    assert "800 is not HxW" in run("--synthetic", "800").stderr.replace("'", "")
    assert "must be at least 1" in run("--repeats", 0).stderr
