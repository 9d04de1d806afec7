"""The tables of a comparison, from results that are given."""

import json
import math
import statistics
from pathlib import Path

import pytest

from medmask.engine.comparison import RunResult, write_tables
from medmask.engine.comparison.plan import Comparison, Run

R, CPM = "froc/R@0.3", "froc/CPM"
CONFIG = Path("some.py")


def comparison(*runs):
    return Comparison("some_test", R, (CPM,), runs)


PLAN = comparison(
    Run("first", CONFIG),
    Run("control", CONFIG, start="first"),
    Run("taught", CONFIG, start="first", controls=("control", "first")),
)


def results(minutes=2.0, **values):
    """Results of runs from their R@0.3 by seed; CPM is 10 points lower."""
    return {
        name: {
            seed: RunResult({R: value, CPM: None if value is None else value - 10}, minutes)
            for seed, value in enumerate(of_run)
        }
        for name, of_run in values.items()
    }


def content(folder):
    return json.loads(
        (folder / "benchmark.json").read_text(),
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )


def test_differences_are_paired_by_seed(tmp_path):
    found = results(
        first=[40.0] * 8,
        control=[40, 50, 60, 70, 41, 51, 61, 71],
        taught=[41, 53, 61, 73, 42, 54, 62, 74],
    )
    markdown = write_tables(PLAN, found, tmp_path)
    rows = {row["run"]: row for row in content(tmp_path)["rows"]}
    taught = rows["taught"]["metrics"][R]
    assert taught["values"]["1"] == 53
    assert taught["mean"] == 57.5
    assert taught["deviation"] == pytest.approx(statistics.stdev([41, 53, 61, 73, 42, 54, 62, 74]))
    assert rows["taught"]["metrics"][CPM]["mean"] == 47.5
    control, first = rows["taught"]["comparisons"]
    assert (control["control"], control["shared_start"]) == ("control", "first")
    difference = control["differences"][R]
    # four differences of 1 and four of 3: mean 2, standard error sqrt(8 / 7) / sqrt(8)
    assert difference["mean"] == 2
    assert difference["standard_error"] == pytest.approx(math.sqrt(1 / 7))
    assert difference["t"] == pytest.approx(2 * math.sqrt(7))
    assert (difference["pairs"], difference["verdict"]) == (8, "better")
    assert first["shared_start"] == "first"
    assert rows["first"]["comparisons"] == []
    assert "| taught | 8 | 57.5 ± 12.5 | 47.5 ± 12.5 | 41.0 / 53.0 / 61.0 /" in markdown
    better = "+2.0 ± 0.4 | 5.3 | 8 | better"
    assert f"| taught | control | first | {better} | {better} |" in markdown
    assert (tmp_path / "benchmark.md").read_text() == markdown


def test_what_is_no_percentage_keeps_its_unit_and_its_digits(tmp_path):
    learned = "learning/masks/dice"
    plan = Comparison("some_test", R, (learned,), PLAN.runs)
    found = {
        name: {seed: RunResult({R: 50.0, learned: dice + seed / 1000}, 2.0) for seed in range(8)}
        for name, dice in {"first": 0.3, "control": 0.412, "taught": 0.437}.items()
    }
    markdown = write_tables(plan, found, tmp_path)
    assert "On some_test, in percent, dice as the run gives it: mean over seeds" in markdown
    assert "| taught | 8 | 50.0 ± 0.0 | 0.441 ± 0.00245 |" in markdown
    assert "| +0.025 ± 0 | inf | 8 | better |" in markdown


def test_few_seeds_show_nothing_unless_they_are_asked_for(tmp_path):
    found = results(first=[40.0] * 3, control=[60, 50, 70], taught=[50.0, 41, 60.5])
    assert "| taught | control | first | -9.5 ± 0.3 | -32.9 | 3 | not shown |" in write_tables(
        PLAN, found, tmp_path
    )
    markdown = write_tables(PLAN, found, tmp_path, min_pairs=3)
    assert "| taught | control | first | -9.5 ± 0.3 | -32.9 | 3 | worse |" in markdown
    assert "at least 3 pairs" in markdown


def test_one_seed_has_no_error(tmp_path):
    markdown = write_tables(PLAN, results(first=[40.0], control=[50.0], taught=[60.0]), tmp_path)
    assert "| taught | 1 | 60.0 | 50.0 | 60.0 | 2.0 |" in markdown
    assert "| taught | control | first | +10.0 |  | 1 | not shown |" in markdown
    difference = content(tmp_path)["rows"][2]["comparisons"][0]["differences"][R]
    assert (difference["mean"], difference["standard_error"], difference["t"]) == (10, None, None)


def test_equal_differences_are_valid_json(tmp_path):
    found = results(first=[40.0] * 8, control=[50.0] * 8, taught=[60.0] * 8)
    assert "| +10.0 ± 0.0 | inf | 8 | better |" in write_tables(PLAN, found, tmp_path)
    difference = content(tmp_path)["rows"][2]["comparisons"][0]["differences"][R]
    assert (difference["standard_error"], difference["t"]) == (0, None)


def test_only_seeds_that_both_have_are_paired(tmp_path):
    found = results(first=[40.0, 40.0], control=[50.0, 70.0, 60.0], taught=[None, 71.0, 63.0])
    markdown = write_tables(PLAN, found, tmp_path)
    assert "| taught | control | first | +2.0 ± 1.0 | 2.0 | 2 | not shown |" in markdown
    assert "| taught | 2 | 67.0 ± 5.7 |" in markdown
    assert "| 71.0 / 63.0 (seeds 1, 2) | 2.0 |" in markdown
    assert "| 50.0 / 70.0 / 60.0 | 2.0 |" in markdown


def test_run_without_the_metric_is_left_out(tmp_path):
    found = results(first=[None], control=[50.0], taught=[60.0])
    markdown = write_tables(PLAN, found, tmp_path)
    assert "| first | 1 |" not in markdown
    assert "| taught | control |" in markdown
    assert "| taught | first |" not in markdown


def test_results_without_the_metric_beside_leave_its_cells_empty(tmp_path):
    found = {name: {0: RunResult({R: 50.0}, 1.0)} for name in ("first", "control", "taught")}
    markdown = write_tables(PLAN, found, tmp_path)
    assert "| taught | 1 | 50.0 |  | 50.0 | 1.0 |" in markdown
    assert (
        "| taught | control | first | +0.0 |  | 1 | not shown |  |  | 0 | not shown |" in markdown
    )


def test_runs_that_share_the_seed_alone_say_so(tmp_path):
    plan = comparison(Run("one", CONFIG), Run("other", CONFIG, controls=("one",)))
    markdown = write_tables(plan, results(one=[1.0], other=[2.0]), tmp_path)
    assert "| other | one | none, the seed alone | +1.0 |" in markdown


def test_nearest_shared_start_is_named():
    plan = comparison(
        Run("first", CONFIG),
        Run("second", CONFIG, start="first"),
        Run("control", CONFIG, start="second"),
        Run("third", CONFIG, start="second"),
    )
    assert plan.shared_start(plan["third"], plan["control"]) == "second"
    assert plan.shared_start(plan["third"], plan["first"]) == "first"
    assert plan.shared_start(plan["third"], plan["second"]) == "second"


def test_what_stages_have_learned_has_a_table_of_its_own(tmp_path):
    found = results(first=[40.0] * 3, control=[40.0] * 3, taught=[41.0] * 3)
    for seed, (value, beats) in enumerate([(0.2, 1.0), (0.1, 1.0), (None, 0.0)]):
        found["taught"][seed].metrics.update(
            {
                "learning/mae/R2_res5": value,
                "learning/mae/R2_res5_constant": 0.0,
                "learning/mae/R2_res5_beats_constant": beats,
            }
        )
    markdown = write_tables(PLAN, found, tmp_path)
    assert "| taught | mae/R2_res5 | 0.150 | 0.000 | 2 of 3 |" in markdown
    rows = {row["run"]: row for row in content(tmp_path)["rows"]}
    assert rows["first"]["learning"] == {}
    learned = {"value": pytest.approx(0.15), "constant": 0.0, "num_better": 2, "num_seeds": 3}
    assert rows["taught"]["learning"] == {"mae/R2_res5": learned}


def test_seeds_at_which_neither_value_nor_constant_is_known_count_as_not_better(tmp_path):
    """The precision of a teacher that gives no label."""
    found = results(first=[40.0] * 3, control=[40.0] * 3, taught=[41.0] * 3)
    for seed, value in enumerate([0.5, None, None]):
        found["taught"][seed].metrics.update(
            {
                "learning/pseudo_labels/precision": value,
                "learning/pseudo_labels/precision_constant": value and 0.0,
                "learning/pseudo_labels/precision_beats_constant": float(value is not None),
            }
        )
    markdown = write_tables(PLAN, found, tmp_path)
    assert "| taught | pseudo_labels/precision | 0.500 | 0.000 | 1 of 3 |" in markdown
