"""Runs whose controls see more or fewer labeled images are told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medmask.config.loading import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.engine.comparison import RunResult, write_tables
from medmask.engine.comparison.plan import Comparison, Run
from medmask.engine.comparison.run_config import RunConfigs
from medmask.engine.comparison.run_result import complete_run, read_result
from medmask.engine.comparison.training_length import other_lengths

R = "froc/R@0.3"
CONFIG = Path("some.py")
FIRST = Run("first", CONFIG)
CONTROL = Run("control", CONFIG, start="first")
TAUGHT = Run("taught", CONFIG, start="first", controls=("control", "first"))


def lengths(runs, **images):
    """Each of 2 seeds; images by the name of the run."""
    results = {
        name: {seed: RunResult({R: 50.0}, 1.0, labeled_images=number) for seed in (0, 1)}
        for name, number in images.items()
    }
    plan = Comparison("some_test", R, (), runs)
    return plan, results, list(other_lengths(plan, results))


def test_equal_lengths_are_not_told_and_neither_is_a_start_that_is_a_control():
    *_, found = lengths((FIRST, CONTROL, TAUGHT), first=800, control=400, taught=400)
    assert found == []


@pytest.mark.parametrize(("control", "longer"), [(200, "the run's"), (600, "the control's")])
def test_other_length_is_told_in_the_tables_and_the_json(tmp_path, control, longer):
    plan, results, found = lengths((FIRST, CONTROL, TAUGHT), first=800, control=control, taught=400)
    (other,) = found
    assert (other.run, other.control, other.shared_start) == ("taught", "control", "first")
    sentence = other.describe()
    assert sentence == (
        f"taught was trained on 400 labeled images since first, its control control on {control}: "
        f"{longer} longer training is part of the difference"
    )
    markdown = write_tables(plan, results, tmp_path)
    assert markdown.endswith(f"\nOf other length than their controls:\n\n- {sentence}\n")
    assert json.loads((tmp_path / "benchmark.json").read_text())["notes"] == [sentence]


def test_images_of_all_runs_since_the_shared_start_count():
    second = Run("second", CONFIG, start="first")
    third = Run("third", CONFIG, start="second", controls=("control",))
    runs = (FIRST, CONTROL, second, third)
    *_, found = lengths(runs, first=800, control=400, second=200, third=200)
    assert found == []
    *_, found = lengths(runs, first=800, control=400, second=400, third=200)
    assert [(each.images, each.control_images) for each in found] == [(600, 400)]


def test_runs_that_share_no_start_are_compared_from_their_beginning():
    alone = replace(CONTROL, start=None)
    taught = replace(TAUGHT, controls=("control",))
    *_, found = lengths((FIRST, alone, taught), first=800, control=400, taught=400)
    assert "1,200 labeled images, its control control on 400" in found[0].describe()


def test_results_that_do_not_tell_their_length_are_passed_over():
    *_, found = lengths((FIRST, CONTROL, TAUGHT), first=800, control=None, taught=400)
    assert found == []


@pytest.mark.parametrize(
    ("page", "adapt_batchnorm", "images"),
    [
        ("source_only", None, 50 * 8),
        ("source_only", "phantom_ffdm_train", 0),
        ("pretraining", None, 0),  # by masked autoencoding alone
    ],
)
def test_a_result_tells_its_length(tmp_path, page, adapt_batchnorm, images):
    page = Path(f"configs/medmask/phantom/{page}.py")
    run = Run("r", page, adapt_batchnorm=adapt_batchnorm)
    settings = ["train.max_iter=50"]
    config = load_config(str(page), settings)

    def call(log):
        write_config_yaml(config, tmp_path / "config.yaml")
        (tmp_path / "evaluation.json").write_text(json.dumps({R: 50.0}))
        evaluation = {"iteration": 49, R: 50.0, "judged": {"metric": R, "datasets": ["a"]}}
        (tmp_path / "evaluations.json").write_text(json.dumps([evaluation]))
        return 0

    assert complete_run(run, tmp_path, settings, call).labeled_images == images
    assert read_result(run, tmp_path, settings, RunConfigs()).labeled_images == images
