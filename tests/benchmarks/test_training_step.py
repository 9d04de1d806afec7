import json

import pytest
from step_timing.clock import SECTIONS

QUICK = ("--repeats", 2, "--steps", 1, "--batch-size", 2, "train.device=cpu")


@pytest.mark.slow
def test_both_operators_take_turns(run_tool, tmp_path):
    config = ("--config-file", "configs/medmask/phantom2ffdm/cross_domain.py")
    output = ("--operator", "both", "--json", tmp_path / "step.json")
    result = run_tool(
        "benchmarks/training_step.py", *config, *QUICK, "--synthetic", "64x48", *output
    )
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
def test_data_of_the_config_are_loaded(run_tool, datasets):
    result = run_tool(
        "benchmarks/training_step.py",
        *QUICK,
        "dataloader.train.num_workers=1",
        DETECTRON2_DATASETS=str(datasets),
    )
    assert result.returncode == 0, result.stderr
    assert "images per second" in result.stdout


@pytest.mark.slow
def test_absent_data_are_named(run_tool, tmp_path):
    result = run_tool("benchmarks/training_step.py", *QUICK, DETECTRON2_DATASETS=str(tmp_path))
    assert result.returncode == 2
    assert "phantom_film_train" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_nonsense_is_refused(run_tool):
    result = run_tool("benchmarks/training_step.py", "--synthetic", "800")
    assert "800 is not HxW" in result.stderr.replace("'", "")
    assert "must be at least 1" in run_tool("benchmarks/training_step.py", "--repeats", 0).stderr
