"""The benchmark on phantoms, run as a user runs it, with trainings of one step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_plans import plan_on_validation_images

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "configs" / "medmask" / "phantom2ffdm" / "benchmark.py"
SMALL = (
    "train.device=cpu",
    "train.max_iter=1",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
)


def run(training_runs, output, *options):
    plan = output / "plan.py"
    plan.write_text(plan_on_validation_images(PLAN))
    command = [sys.executable, str(ROOT / "tools" / "run_benchmark.py"), str(plan)]
    command += ["--output", str(output), *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=training_runs.environment
    )


@pytest.mark.slow
def test_averages_of_all_runs_are_compared(training_runs, tmp_path):
    what = ("--runs", "control_strong", "adabn", "--seeds", "0", "--set", *SMALL)
    done = run(training_runs, tmp_path, *what)
    logs = "\n".join(path.read_text() for path in tmp_path.glob("*/*/benchmark_log.txt"))
    assert done.returncode == 0, done.stderr + logs
    assert "4 to do, " in done.stdout
    assert "[4/4] " in done.stdout
    table = (tmp_path / "benchmark.md").read_text()
    assert "| run | seeds | R@0.3 | CPM | R@0.3 by seed | minutes |" in table
    assert "| control_strong | control | source_only |" in table
    assert "| adabn | source_only | source_only |" in table
    assert table in done.stdout
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert {row["run"]: set(row["metrics"]) for row in content["rows"]} == {
        name: {"froc/R@0.3", "froc/CPM"}
        for name in ("source_only", "adabn", "control", "control_strong")
    }
    for name in ("source_only", "control", "control_strong"):
        folder = tmp_path / name / "seed0"
        last = json.loads((folder / "evaluations.json").read_text())[-1]
        result = json.loads((folder / "result.json").read_text())
        assert result["metrics"]["froc/CPM"] == last["average/froc/CPM"]
    # AdaBN took the average: its weights, apart from the statistics, are those.
    average, adapted = (
        torch.load(tmp_path / path, weights_only=True)["model"]
        for path in ("source_only/seed0/average_final.pth", "adabn/seed0/model_adabn.pth")
    )
    weight = "backbone.stem.conv1.weight"
    assert torch.equal(average[weight], adapted[weight])
    again = run(training_runs, tmp_path, *what)
    assert again.returncode == 0, again.stderr
    assert "to do" not in again.stdout


TOOL = """
import json, pathlib, sys

options = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
folder = pathlib.Path(options["train.output_dir"])
value = 40 + int(options["train.seed"])
(folder / "evaluations.json").write_text(json.dumps([{"froc/R@0.3": value, "froc/CPM": value}]))
"""
TINY_PLAN = """
benchmark = dict(
    test_dataset="some_test",
    metric="froc/R@0.3",
    runs=dict(first=dict(config="first.py"), other=dict(config="first.py", controls=["first"])),
)
"""


def test_tables_keep_what_earlier_calls_asked_for(monkeypatch, tmp_path, capsys):
    from medmask.commands import run_benchmark

    for name, text in (("tool.py", TOOL), ("plan.py", TINY_PLAN), ("first.py", "")):
        (tmp_path / name).write_text(text)
    output = tmp_path / "output"
    monkeypatch.setattr(run_benchmark, "TRAINING_TOOL", (str(tmp_path / "tool.py"),))

    def table(*options):
        arguments = [str(tmp_path / "plan.py"), "--output", str(output), *options]
        run_benchmark.run(run_benchmark.make_parser().parse_args(arguments))
        printed = capsys.readouterr().out
        assert (output / "benchmark.md").read_text() in printed
        return printed

    whole = table("--seeds", "0", "1", "2")
    assert "| other | 3 | 41.0 ± 1.0 |" in whole
    assert "| other | first | none, the seed alone | +0.0 ± 0.0 |" in whole
    first = table("--seeds", "3", "--runs", "first")
    assert "| first | 4 | 41.5 ± 1.3 |" in first
    assert "| other | 3 | 41.0 ± 1.0 |" in first
    assert json.loads((output / "benchmark.json").read_text())["seeds"] == [0, 1, 2, 3]
    assert "Not in the tables" not in whole + first
    otherwise = table("--seeds", "9", "--set", "train.max_iter=1")
    assert "| other | 1 | 49.0 |" in otherwise
    assert "first/seed0/result.json was made with dataloader.test.dataset=some_test" in otherwise
    assert otherwise.partition("Not in the tables:")[2].count("\n- ") == 7
    assert len(json.loads((output / "benchmark.json").read_text())["left_out"]) == 7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-pairs", "1"), "--min-pairs is 1: a standard error needs 2 pairs"),
        (("--jobs", "0"), "--jobs is 0: at least one run"),
        (("--seeds", "3", "3"), "--seeds are [3, 3]: give different whole numbers"),
        (("--seeds", "-1"), "--seeds are [-1]: give different whole numbers"),
        (("--runs", "tought"), "the plan has no run 'tought'"),
    ],
)
def test_mistake_is_one_sentence(capsys, monkeypatch, tmp_path, options, words):
    from medmask.commands.run_benchmark import main

    monkeypatch.setattr(sys, "argv", ["run_benchmark", str(PLAN), *options])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
