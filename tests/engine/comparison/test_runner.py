"""Comparisons, with a training tool that takes no time."""

import json
import math
import statistics

import pytest

from medmask.engine.comparison import RunResult, load_comparison, run_comparison, write_tables
from medmask.errors import InputError

PLAN = """
benchmark = dict(
    test_dataset="some_test",
    metric="froc/R@0.3",
    runs=dict(
        first=dict(config="first.py"),
        control=dict(config="first.py", start="first", options=["train.max_iter=5"]),
        adabn=dict(
            config="first.py", start="first", controls=["first"], adapt_batchnorm="some_train"
        ),
        taught=dict(
            config="taught.py", start="first", controls=["control", "adabn"], model="teacher"
        ),
    ),
)
"""

TOOL = """
import json, os, pathlib, sys

arguments = sys.argv[1:]
options = dict(a.split("=", 1) for a in arguments if "=" in a)
folder = pathlib.Path(options["train.output_dir"])
calls = folder.parents[1] / "calls.txt"
with open(calls, "a") as file:
    file.write(json.dumps(arguments) + chr(10))
if folder.parent.name == os.environ.get("FAILING_RUN"):
    sys.exit("no luck")
start = options.get("train.init_checkpoint")
if start:
    assert pathlib.Path(start).read_text() == "weights", "the start must be there first"
seed = int(options["train.seed"])
value = {"first": 40, "control": 50, "adabn": 45, "taught": 0}[folder.parent.name] + seed
results = {"froc/R@0.3": value, "teacher/froc/R@0.3": 60 + 2 * seed}
if "--eval-only" in arguments:
    (folder / "evaluation.json").write_text(json.dumps(results))
else:
    (folder / "evaluations.json").write_text(json.dumps([{"froc/R@0.3": 1}, results]))
    (folder / "model_final.pth").write_text("weights")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "benchmark.py").write_text(PLAN)
    (tmp_path / "tool.py").write_text(TOOL)
    for name in ("first.py", "taught.py"):
        (tmp_path / name).write_text("")
    return tmp_path


def run(folder, seeds=(0, 1, 2), **options):
    comparison = load_comparison(folder / "benchmark.py")
    output = folder / "output"
    results = run_comparison(comparison, seeds, output, tool=[str(folder / "tool.py")], **options)
    return write_tables(comparison, results, seeds, output)


def calls(folder):
    lines = (folder / "output" / "calls.txt").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_run_is_done_after_the_one_it_starts_from(folder, jobs):
    run(folder, jobs=jobs, options=["train.log_period=7"])
    done = calls(folder)
    assert len(done) == 12
    assert all("dataloader.test.dataset=some_test" in call for call in done)
    assert all("train.log_period=7" in call for call in done)
    assert sum("train.max_iter=5" in call for call in done) == 3
    assert sum("--adapt-batchnorm" in call for call in done) == 3
    assert sum("--resume" in call for call in done) == 9


def test_table_compares_with_the_control(folder):
    markdown = run(folder)
    rows = {r["run"]: r for r in json.loads((folder / "output/benchmark.json").read_text())["rows"]}
    assert rows["taught"]["values"] == {"0": 60, "1": 62, "2": 64}
    assert rows["taught"]["mean"] == 62
    assert rows["taught"]["deviation"] == pytest.approx(statistics.stdev([60, 62, 64]))
    control, adabn = rows["taught"]["comparisons"]
    assert control["difference"] == 62 - 51
    assert control["pooled_deviation"] == pytest.approx(math.sqrt((4 + 1) / 2))
    assert adabn["difference"] == 62 - 46
    assert rows["first"]["comparisons"] == []
    cells = "| taught | 62.0 | 2.0 | 60.0 / 62.0 / 64.0 | control +11.0 (1.6), adabn +16.0 (1.6) |"
    assert cells in markdown
    assert (folder / "output" / "benchmark.md").read_text() == markdown


def test_one_seed_has_no_deviation(folder):
    assert "| taught | 60.0 |  | 60.0 | control +10.0, adabn +15.0 |" in run(folder, seeds=(0,))


def test_what_is_done_is_not_repeated(folder):
    run(folder, seeds=(0,))
    run(folder, seeds=(0, 1))
    assert len(calls(folder)) == 8


def test_failure_names_the_log_and_spares_the_other_runs(folder, monkeypatch):
    monkeypatch.setenv("FAILING_RUN", "control")
    with pytest.raises(InputError, match=r"run control failed with status 1; see .*seed0"):
        run(folder, seeds=(0,))
    assert len(calls(folder)) == 4
    assert "no luck" in (folder / "output/control/seed0/benchmark_log.txt").read_text()
    monkeypatch.delenv("FAILING_RUN")
    run(folder, seeds=(0,))
    assert len(calls(folder)) == 5


def test_chosen_runs_bring_what_they_need(folder):
    comparison = load_comparison(folder / "benchmark.py")
    chosen = comparison.restricted_to(["taught"])
    assert [run.name for run in chosen.runs] == ["first", "control", "adabn", "taught"]
    with pytest.raises(InputError, match=r"no run 'tought'.*taught"):
        comparison.restricted_to(["tought"])


def test_undefined_metric_is_left_out(folder):
    comparison = load_comparison(folder / "benchmark.py")
    results = {run.name: {} for run in comparison.runs}
    results["first"] = {0: RunResult({"froc/R@0.3": None}, 1.0)}
    assert "first" not in write_tables(comparison, results, [0], folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("taught.py", "absent.py"), "absent.py, which does not exist"),
        (('start="first", options', 'start="taught", options'), "'taught', which is no run before"),
        (('model="teacher"', 'modle="teacher"'), "run 'taught' has the unknown field 'modle'"),
        (
            ('start="first", controls=["first"], ', ""),
            "'adabn' adapts BatchNorm and so needs a start",
        ),
        (("benchmark = ", "plan = "), "defines no dict `benchmark`"),
    ],
)
def test_mistake_in_the_plan_is_named(folder, change, words):
    assert change[0] in PLAN
    (folder / "benchmark.py").write_text(PLAN.replace(*change))
    with pytest.raises(InputError, match=words):
        load_comparison(folder / "benchmark.py")


def test_absent_plan_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.py does not exist"):
        load_comparison(tmp_path / "nowhere.py")
