import json

import pytest
from step_timing.clock import SECTIONS

TOOL = "benchmarks/training_step.py"
QUICK = ("--repeats", 2, "--steps", 1, "--batch-size", 2, "train.device=cpu")
CONFIG = ("--config-file", "configs/medmask/phantom2ffdm/cross_domain.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("comparison", "runs"),
    [
        ("grid_sample", ["medmask", "grid_sample"]),
        ("stage-1", ["stage 1", "with loss hooks"]),
        ("gradients", ["not measured", "measured in every step"]),
        ("waiting", ["spinning", "sleeping", "as medmask decides", "one thread"]),
    ],
)
def test_runs_take_turns(run_tool, tmp_path, comparison, runs):
    output = ("--compare", comparison, "--json", tmp_path / "step.json")
    result = run_tool(TOOL, *CONFIG, *QUICK, "--synthetic", "64x48", *output)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "step.json").read_text())
    assert figures["images"] == 2
    assert list(figures["runs"]) == runs
    for name, measured in figures["runs"].items():
        assert len(measured["turns"]) == 2
        assert all(turn.keys() == set(SECTIONS) for turn in measured["turns"])
        assert measured["peak_bytes"] > 1e8
        assert name in result.stdout
    assert f"times the step of {runs[0]}" in result.stdout
    assert ("Every 200 iterations" in result.stdout) == (comparison == "gradients")


@pytest.mark.slow
def test_data_of_the_config_are_loaded(run_tool, datasets):
    options = (*QUICK, "--busy", 1, "dataloader.train.num_workers=1")
    result = run_tool(TOOL, *options, DETECTRON2_DATASETS=str(datasets))
    assert result.returncode == 0, result.stderr
    assert "beside 1 busy process\n" in result.stdout
    assert "images per second" in result.stdout


@pytest.mark.slow
def test_absent_data_are_named(run_tool, tmp_path):
    result = run_tool(TOOL, *QUICK, DETECTRON2_DATASETS=str(tmp_path))
    assert result.returncode == 2
    assert "phantom_film_train" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--synthetic", "800"), "800 is not HxW"),
        (("--repeats", 0), "argument --repeats: must be at least 1, but is 0"),
        (("--steps", "-1"), "argument --steps: must be at least 1, but is -1"),
    ],
)
def test_nonsense_is_refused(run_tool, options, sentence):
    result = run_tool(TOOL, *options)
    assert result.returncode == 2
    assert sentence in result.stderr.replace("'", "")
