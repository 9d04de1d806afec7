"""Comparisons, with a training tool that takes no time."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from medmask.engine.comparison import (
    load_comparison,
    read_results,
    run_comparison,
    write_tables,
)
from medmask.errors import InputError
from medmask.utils.openmp import usable_cores

ROOT = Path(__file__).parents[3]
PLAN = """
benchmark = dict(
    test_dataset="some_test",
    metric="froc/R@0.3",
    runs=dict(
        first=dict(config="first.py", model="average"),
        control=dict(
            config="first.py", start="first", options=["train.max_iter=5"], model="average"
        ),
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
import hashlib, json, os, pathlib, sys

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
    start = pathlib.Path(start).read_text()
    assert start.startswith("weights"), "the start must be there first"
    versions = {"weights of train.init_checkpoint": hashlib.sha256(start.encode()).hexdigest()}
    (folder / "versions.json").write_text(json.dumps(versions))
seed = int(options["train.seed"])
value = {"first": 40, "control": 50, "adabn": 45, "taught": 0}[folder.parent.name] + seed
results = {"froc/R@0.3": value, "froc/CPM": value + 10}
for name in ("average", "teacher"):
    value = 60 + 2 * seed if name == "teacher" else value
    results |= {f"{name}/froc/R@0.3": value, f"{name}/froc/CPM": 70}
if "--eval-only" in arguments:
    (folder / "evaluation.json").write_text(json.dumps(results))
else:
    (folder / "evaluations.json").write_text(json.dumps([{"froc/R@0.3": 1}, results]))
    for name in ("model", "average"):
        (folder / f"{name}_final.pth").write_text("weights" + os.environ.get("TRAINED_AGAIN", ""))
"""

CALLER = """
import sys
from pathlib import Path
from medmask.engine.comparison import load_comparison, run_comparison

folder = Path(sys.argv[1])
comparison = load_comparison(folder / "benchmark.py")
run_comparison(comparison, [0], folder / "output", tool=[str(folder / "tool.py")])
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
    return write_tables(comparison, results, output)


def calls(folder):
    lines = (folder / "output" / "calls.txt").read_text().splitlines()
    return [json.loads(line) for line in lines]


def arguments(call):
    return dict(each.split("=", 1) for each in call if "=" in each)


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


def test_adabn_adapts_the_model_that_counts_and_stages_go_on_from_the_trained_one(folder):
    run(folder, seeds=(3,))
    starts = {
        Path(options["train.output_dir"]).parent.name: Path(options["train.init_checkpoint"]).name
        for call in calls(folder)
        if "train.init_checkpoint" in (options := arguments(call))
    }
    assert starts == {
        "control": "model_final.pth",
        "adabn": "average_final.pth",
        "taught": "model_final.pth",
    }


def test_folders_and_data_sets_may_have_any_names(folder):
    plan = (folder / "benchmark.py").read_text().replace("some_test", "Läsionen (1)")
    (folder / "benchmark.py").write_text(plan)
    (folder / "tool.py").write_text(
        "import json, pathlib, sys; json.dump(sys.argv[1:], open(sys.path[0] + '/call', 'w'))\n"
        "sys.exit('seen')"
    )
    comparison = load_comparison(folder / "benchmark.py").restricted_to(["first"])
    output = folder / "Läufe, neu"
    with pytest.raises(InputError, match="failed with status 1"):
        run_comparison(comparison, [0], output, tool=[str(folder / "tool.py")])
    texts = [text for text in json.loads((folder / "call").read_text()) if "=" in text]
    given = {x.key_or_group: x.value() for x in OverridesParser.create().parse_overrides(texts)}
    assert given["train.output_dir"] == str(output / "first" / "seed0")
    assert given["dataloader.test.dataset"] == "Läsionen (1)"


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


def test_result_of_other_settings_is_refused(folder):
    run(folder, seeds=(0,), options=["train.log_period=7"])
    with pytest.raises(InputError, match=r"result\.json was made with .*log_period=7, not with"):
        run(folder, seeds=(0, 1))
    assert len(calls(folder)) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('model="teacher"', 'model="average"'), "with model 'teacher' .*, not with 'average'"),
        (
            ('config="taught.py"', 'config="first.py"'),
            "with config 'taught.py' .*with 'first",
        ),
        (
            ('start="first", controls=["control"', 'start="control", controls=["control"'),
            "with start 'first' .*, not with 'control'",
        ),
    ],
)
def test_result_of_another_plan_is_refused(folder, change, words):
    run(folder, seeds=(0,))
    assert change[0] in PLAN
    (folder / "benchmark.py").write_text(PLAN.replace(*change))
    with pytest.raises(InputError, match=rf"taught/seed0/result\.json was made {words}"):
        run(folder, seeds=(0,))
    assert len(calls(folder)) == 4


AGAIN = r"result\.json does not go with .*/first/seed0/{}_final\.pth, as its start {}: delete its"


def test_result_of_a_start_that_is_to_be_trained_again_is_refused(folder):
    run(folder, seeds=(0,))
    shutil.rmtree(folder / "output/first/seed0")
    with pytest.raises(InputError, match=AGAIN.format("model", "is to be trained again")):
        run(folder, seeds=(0,))
    assert len(calls(folder)) == 4
    results, _ = read_results(load_comparison(folder / "benchmark.py"), folder / "output")
    assert 0 in results["control"]  # what weights it is of, nothing contradicts


def test_result_of_a_start_that_was_trained_again_is_refused(folder, monkeypatch):
    run(folder, seeds=(0, 1))
    monkeypatch.setenv("TRAINED_AGAIN", " of another day")
    for name in ("first", "adabn"):
        shutil.rmtree(folder / f"output/{name}/seed0")
    chosen = load_comparison(folder / "benchmark.py").restricted_to(["adabn"])
    tool = [str(folder / "tool.py")]
    run_comparison(chosen, [0], folder / "output", tool=tool)
    for _ in range(2):
        with pytest.raises(InputError, match=AGAIN.format("model", "was trained again since")):
            run(folder, seeds=(0,))
    results, problems = read_results(load_comparison(folder / "benchmark.py"), folder / "output")
    assert [list(results[name]) for name in ("adabn", "control", "taught")] == [[0, 1], [1], [1]]
    assert sum("as its start was trained again since" in each for each in problems) == 2

    for name in ("control", "taught"):  # results of versions of before do not tell
        file = folder / f"output/{name}/seed0/result.json"
        content = json.loads(file.read_text())
        del content["start_sha256"]
        file.write_text(json.dumps(content))
    run(folder, seeds=(0,))


def test_result_tells_the_start_of_its_weights_not_of_the_last_call(folder, monkeypatch):
    """A run that went on after its start was trained again has nothing of the new weights."""
    run(folder, seeds=(0,))
    (folder / "output/control/seed0/result.json").unlink()
    monkeypatch.setenv("TRAINED_AGAIN", " of another day")
    (folder / "tool.py").write_text(TOOL.replace('(folder / "versions', '(folder / "not_these'))
    for name in ("model", "average"):
        (folder / f"output/first/seed0/{name}_final.pth").write_text("weights of another day")
    for name in ("taught", "adabn"):
        shutil.rmtree(folder / f"output/{name}/seed0")
    run(folder, seeds=(0,))
    with pytest.raises(InputError, match=AGAIN.format("model", "was trained again since")):
        run(folder, seeds=(0,))


def test_model_that_no_run_gives_is_named_and_leaves_no_result(folder):
    (folder / "benchmark.py").write_text(PLAN.replace('model="teacher"', 'model="techer"'))
    with pytest.raises(
        InputError, match=r"'taught' was evaluated without .*'techer'.*teacher/froc"
    ):
        run(folder, seeds=(0,))
    assert not (folder / "output/taught/seed0/result.json").exists()
    (folder / "benchmark.py").write_text(PLAN)
    assert "| taught | 1 | 60.0 |" in run(folder, seeds=(0,))


def test_run_that_evaluates_nothing_is_named(folder):
    (folder / "tool.py").write_text("")
    with pytest.raises(
        InputError, match=r"'first' has left no .*evaluations\.json: its config needs"
    ):
        run(folder, seeds=(0,))


def test_metric_that_no_evaluation_gives_is_named(folder):
    (folder / "benchmark.py").write_text(PLAN.replace("froc/R@0.3", "froc/R@0.33"))
    for _ in range(2):  # of new results and of those that are there
        with pytest.raises(InputError, match=r"'first' has no result 'froc/R@0.33'.* froc/R@0.3,"):
            run(folder, seeds=(0,))
    assert len(calls(folder)) == 1  # no run starts from what could not be read


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("train.seed=3", "the list of seeds decides on train.seed"),
        ("train.output_dir=elsewhere", "the output folder decides on train.output_dir"),
        ("dataloader.test.dataset=other", "the plan's test_dataset decides on dataloader"),
        ("+train.init_checkpoint=a.pth", "the plan's start decides on train.init_checkpoint"),
    ],
)
def test_settings_that_the_plan_decides_are_refused(folder, option, words):
    with pytest.raises(InputError, match=words):
        run(folder, seeds=(0,), options=[option])
    assert not (folder / "output").exists()
    (folder / "benchmark.py").write_text(PLAN.replace("train.max_iter=5", option))
    with pytest.raises(InputError, match=f"run 'control' is given the setting .*{words}"):
        run(folder, seeds=(0,))


def test_runs_without_a_start_may_be_given_weights(folder):
    comparison = load_comparison(folder / "benchmark.py").restricted_to(["first"])
    weights = ["train.init_checkpoint="]
    tool = [str(folder / "tool.py")]
    assert run_comparison(comparison, [0], folder / "output", tool=tool, options=weights)


def test_results_of_all_calls_are_found(folder):
    run(folder, seeds=(0, 10))
    run(folder, seeds=(3,), options=["train.log_period=7"])
    output = folder / "output"
    (output / "taught/seed10/result.json").write_text("{}")
    for name in ("seed01", "seed 4", "seedling", "seed5"):  # nor does an unfinished run count
        (output / "first" / name).mkdir()
    (output / "first/seed01/result.json").write_text("{}")
    results, problems = read_results(load_comparison(folder / "benchmark.py"), output)
    assert {name: list(by_seed) for name, by_seed in results.items()} == {
        "first": [0, 10],
        "control": [0, 10],
        "adabn": [0, 10],
        "taught": [0],
    }
    assert results["first"][10].metrics["froc/R@0.3"] == 50
    assert len(problems) == 5
    assert any("taught/seed10/result.json is no result" in each for each in problems)
    assert sum("seed3/result.json was made with" in each for each in problems) == 4


def test_results_without_a_value_are_told(folder):
    (folder / "tool.py").write_text(
        TOOL + "\nfor file in folder.glob('evaluation*.json'):\n"
        "    file.write_text(file.read_text().replace('/R@0.3\": 6', '/R@0.3\": null, \"x\": 6'))\n"
    )
    run(folder, seeds=(0,))
    results, problems = read_results(load_comparison(folder / "benchmark.py"), folder / "output")
    assert results["taught"][0].metrics["froc/R@0.3"] is None
    (problem,) = problems
    assert "taught/seed0/result.json has no value of froc/R@0.3, which is undefined" in problem


def test_metric_beside_that_no_evaluation_gives_is_told(folder):
    (folder / "benchmark.py").write_text(PLAN.replace("runs=", 'beside=["froc/CPN"], runs=', 1))
    run(folder, seeds=(0, 1))
    _, problems = read_results(load_comparison(folder / "benchmark.py"), folder / "output")
    told = "has no result 'froc/CPN', which the plan shows beside its metric; it has froc/R@0.3, "
    assert len(problems) == 4  # one of each run
    assert f"run 'first' {told}" in problems[0]


def test_file_that_is_no_result_is_named(folder):
    run(folder, seeds=(0,))
    (folder / "output/first/seed0/result.json").write_text("{}")
    with pytest.raises(InputError, match=r"first/seed0/result\.json is no result"):
        run(folder, seeds=(0,))


def test_only_what_is_left_to_do_is_counted(folder):
    run(folder, seeds=(0,))
    lines = []
    run(folder, seeds=(0, 1), report=lines.append)
    assert lines[0] == "4 to do, 1 at a time"
    assert lines[-1].startswith("[4/4] taught, seed 1: 0.0 minutes; about 0 minutes left")


@pytest.mark.parametrize(("given", "threads"), [(None, None), ("3", "3")], ids=["cores", "user"])
def test_jobs_share_the_cores_unless_the_user_says_how_many_threads(
    folder, monkeypatch, given, threads
):
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    text = "\nprint('threads', os.environ['OMP_NUM_THREADS'])\n"
    (folder / "tool.py").write_text(TOOL + text)
    run(folder, seeds=(0,), jobs=usable_cores())
    log = (folder / "output/first/seed0/benchmark_log.txt").read_text()
    assert log == f"threads {threads or 1}\n"


def test_killed_benchmark_goes_on_where_it_stopped(forked_python, folder):
    """A signal in a run ends it; the same command does the rest, and adds up the time."""
    waiting = TOOL.replace(
        "seed = int",
        """
import time
if folder.parent.name == "control" and not (folder / "begun").exists():
    (folder / "begun").write_text("")
    time.sleep(600)
seed = int""",
    )
    (folder / "tool.py").write_text(waiting)
    (folder / "caller.py").write_text(CALLER)
    command = [folder / "caller.py", folder]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = forked_python.start(command, env=environment)
    begun = folder / "output/control/seed0/begun"
    deadline = time.monotonic() + 240
    try:
        while not begun.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=240) != 0
    finally:
        process.kill()
        process.wait()
    assert not (folder / "output/control/seed0/result.json").exists()
    again = forked_python.run(command, env=environment, timeout=240)
    assert again.returncode == 0, again.stderr
    done = [Path(arguments(call)["train.output_dir"]).parent.name for call in calls(folder)]
    assert sorted(done) == ["adabn", "control", "control", "first", "taught"]
    result = json.loads((folder / "output/control/seed0/result.json").read_text())
    assert result["minutes"] * 60 > 1


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
        (('metric="froc/R@0.3"', 'metric="froc/R@0.3", beside="CPM"'), "beside must be a list"),
        (
            (', model="average"),\n        control', "),\n        control"),
            "'taught' cannot be compared with 'adabn': an average of weights counts of 'taught'",
        ),
    ],
)
def test_mistake_in_the_plan_is_named(folder, change, words):
    assert change[0] in PLAN
    (folder / "benchmark.py").write_text(PLAN.replace(*change))
    with pytest.raises(InputError, match=words):
        load_comparison(folder / "benchmark.py")


def test_absent_plan_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^plan .*nowhere\.py does not exist, or is no file$"):
        load_comparison(tmp_path / "nowhere.py")
