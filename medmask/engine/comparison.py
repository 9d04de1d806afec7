"""A benchmark: stages of training and their controls, over several seeds.

A plan is a LazyConfig file with a dict ``benchmark``::

    benchmark = dict(
        test_dataset="phantom_ffdm_test",
        metric="froc/R@0.3",
        runs=dict(
            source_only=dict(config="source_only.py"),
            control=dict(config="control.py", start="source_only"),
            teaching=dict(config="teaching.py", start="source_only", controls=["control"],
                          model="teacher"),
        ),
    )

Each run is one call of the training tool in a process of its own. A run that ended leaves
``result.json`` and is not repeated; one that was interrupted goes on from its last checkpoint. What
counts is the last weights of a run: the test images choose nothing.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from omegaconf import OmegaConf

from medmask.config.loading import load_any_config
from medmask.errors import InputError
from medmask.utils.child_tools import ChildTools
from medmask.utils.files import atomic_write
from medmask.utils.openmp import usable_cores

RESULT = "result.json"
LOG = "benchmark_log.txt"
MODEL = "model"
_KINDS = {str: "text", list: "list of texts", dict: "dict that is not empty"}


@dataclass(frozen=True)
class Run:
    """One row of the benchmark's table."""

    name: str
    config: Path
    """a config file for the training tool"""
    start: str | None = None
    """the run whose last weights it starts from"""
    controls: tuple[str, ...] = ()
    """the runs that it is compared with: as many steps, without (part of) what the run adds"""
    model: str = MODEL
    """whose results count: the trained model's, or those of another that the stage gives"""
    adapt_batchnorm: str | None = None
    """no training: BatchNorm statistics are estimated anew on the images of this data set"""
    options: tuple[str, ...] = ()
    """``key=value`` settings of the config"""


@dataclass(frozen=True)
class Benchmark:
    """Runs and what they are judged by."""

    test_dataset: str
    metric: str
    """path of a number in the results; higher is better"""
    runs: tuple[Run, ...]
    """each after the runs that it names"""

    def restricted_to(self, names: Sequence[str]) -> "Benchmark":
        """The runs of these names, and those that they start from or are compared with.

        Raises:
            InputError: there is no such run.
        """
        known = {run.name: run for run in self.runs}
        wanted, queue = set(), list(names)
        while queue:
            name = queue.pop()
            if name not in known:
                raise InputError(f"the benchmark has no run '{name}'; it has {', '.join(known)}")
            wanted.add(name)
            needs = (known[name].start, *known[name].controls)
            queue += [other for other in needs if other is not None and other not in wanted]
        return replace(self, runs=tuple(run for run in self.runs if run.name in wanted))


@dataclass(frozen=True)
class RunResult:
    """What one run at one seed gave."""

    metrics: dict[str, float | None]
    minutes: float
    """of this machine, for training and evaluation"""


Results = dict[str, dict[int, RunResult]]
"""name of the run -> seed -> result"""


def load_benchmark(path: str | os.PathLike) -> Benchmark:
    """Read a plan; config files are looked for beside it.

    Raises:
        InputError: the file is missing, or a run names a file or a run that does not exist.
    """
    path = Path(path)
    plan = OmegaConf.to_container(load_any_config(path)).get("benchmark")
    if not isinstance(plan, dict):
        raise InputError(f"{path} defines no dict `benchmark`")
    _check_fields(path, plan)
    runs: dict[str, Run] = {}
    for name, fields in plan["runs"].items():
        run = _read_run(path, name, fields)
        for other in (run.start, *run.controls):
            if other is not None and other not in runs:
                raise InputError(f"{path}: run '{name}' names '{other}', which is no run before it")
        if run.adapt_batchnorm and run.start is None:
            raise InputError(f"{path}: run '{name}' adapts BatchNorm and so needs a start")
        runs[name] = run
    return Benchmark(plan["test_dataset"], plan["metric"], tuple(runs.values()))


def _check_fields(path: Path, plan: dict) -> None:
    """Check that a plan has the fields that it needs and no others."""
    for field, kind in (("test_dataset", str), ("metric", str), ("runs", dict)):
        if not isinstance(plan.get(field), kind) or not plan[field]:
            raise InputError(f"{path}: benchmark.{field} must be a {_KINDS[kind]}")
    unknown = plan.keys() - {"test_dataset", "metric", "runs"}
    if unknown:
        raise InputError(f"{path}: benchmark has the unknown field '{sorted(unknown, key=str)[0]}'")


def _read_run(path: Path, name: str, fields: Any) -> Run:
    """A run of a plan from its fields."""
    where = f"{path}: run '{name}'"
    # The name is that of a folder.
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{where} must be named by letters, digits, '_', '-' and '.'")
    if not isinstance(fields, dict):
        raise InputError(f"{where} must be a dict")
    kinds = {"config": str, "start": str, "controls": list, "model": str, "adapt_batchnorm": str}
    kinds["options"] = list
    for field, value in fields.items():
        if field not in kinds:
            raise InputError(
                f"{where} has the unknown field '{field}'; it may have {', '.join(kinds)}"
            )
        wrong_items = isinstance(value, list) and not all(isinstance(x, str) for x in value)
        if value is not None and (not isinstance(value, kinds[field]) or wrong_items):
            raise InputError(f"{where}: {field} must be a {_KINDS[kinds[field]]}")
    if not fields.get("config"):
        raise InputError(f"{where} has no config")
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if v is not None}
    run = Run(name, **given | {"config": path.parent / fields["config"]})
    if not run.config.is_file():
        raise InputError(f"{where} names {run.config}, which does not exist")
    return run


def run_benchmark(
    benchmark: Benchmark,
    seeds: Sequence[int],
    output_dir: Path,
    *,
    tool: Path,
    jobs: int = 1,
    options: Sequence[str] = (),
    report: Callable[[Results, str], None] = lambda results, message: None,
) -> Results:
    """Do all runs that have no result yet.

    Args:
        benchmark: what to do.
        seeds: each run is done once per seed.
        output_dir: run r at seed s works in ``<output_dir>/<r>/seed<s>``.
        tool: the training tool.
        jobs: runs at the same time; they share the machine's cores.
        options: ``key=value`` settings for every run.
        report: called after each run with the results so far and a line on what was done.

    Raises:
        InputError: a run failed; names its log. Runs that do not need it are done all the same.
        StoppedBySignal: a signal came; runs that were under way have saved what they had done.
    """
    threads = max(1, usable_cores() // jobs)
    environment = {"OMP_NUM_THREADS": str(threads)}
    children = ChildTools()
    results: Results = {run.name: {} for run in benchmark.runs}
    waiting = [(run, seed) for run in benchmark.runs for seed in seeds]
    running: dict[Future[RunResult], tuple[Run, int]] = {}
    failures: list[InputError] = []

    def work(run: Run, seed: int) -> RunResult:
        command = [str(tool), *_arguments(run, benchmark, seed, output_dir), *options]

        def call(log: IO) -> int:
            return children.run(command, log, environment)

        return _complete(run, output_dir / run.name / f"seed{seed}", command, call)

    with children.passing_signals_on(), ThreadPoolExecutor(jobs) as pool:
        while True:
            ready = [
                (run, seed)
                for run, seed in waiting
                if run.start is None or seed in results[run.start]
            ]
            for run, seed in ready[: jobs - len(running)]:
                waiting.remove((run, seed))
                running[pool.submit(work, run, seed)] = run, seed
            if not running:  # what waits still, waits for a run that failed
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                run, seed = running.pop(future)
                try:
                    results[run.name][seed] = future.result()
                except InputError as error:
                    failures.append(error)
                    report(results, f"{run.name}, seed {seed}: {error}")
                    continue
                minutes = results[run.name][seed].minutes
                report(results, f"{run.name}, seed {seed}: {minutes:.1f} minutes")
    if failures:
        raise failures[0]
    return results


def _arguments(run: Run, benchmark: Benchmark, seed: int, output_dir: Path) -> Iterator[str]:
    yield from ("--config-file", str(run.config))
    if run.adapt_batchnorm:
        yield from ("--eval-only", "--adapt-batchnorm", run.adapt_batchnorm)
    else:
        yield "--resume"
    yield f"train.output_dir={output_dir / run.name / f'seed{seed}'}"
    yield f"train.seed={seed}"
    yield "train.eval_period=0"
    yield f"dataloader.test.dataset={benchmark.test_dataset}"
    if run.start is not None:
        weights = output_dir / run.start / f"seed{seed}" / "model_final.pth"
        yield f"train.init_checkpoint={weights}"
    yield from run.options


def _complete(
    run: Run, folder: Path, command: Sequence[str], call: Callable[[IO], int]
) -> RunResult:
    """Do a run, by ``call`` with its log, unless its result is there."""
    result_file = folder / RESULT
    if result_file.exists():
        content = json.loads(result_file.read_text())
        return RunResult(content["metrics"], content["minutes"])
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with open(folder / LOG, "a") as log:
        status = call(log)
    if status:
        raise InputError(f"run {run.name} failed with status {status}; see {folder / LOG}")
    minutes = (time.monotonic() - start) / 60
    metrics = _metrics(folder, run)
    with atomic_write(result_file, "w") as file:
        content = {"metrics": metrics, "minutes": minutes, "command": list(command)}
        json.dump(content, file, indent=1)
    return RunResult(metrics, minutes)


def _metrics(folder: Path, run: Run) -> dict[str, Any]:
    """The numbers of the last evaluation."""
    if run.adapt_batchnorm:
        return json.loads((folder / "evaluation.json").read_text())
    last = json.loads((folder / "evaluations.json").read_text())[-1]
    prefix = "" if run.model == MODEL else f"{run.model}/"
    return {k.removeprefix(prefix): v for k, v in last.items() if k.startswith(prefix)}
