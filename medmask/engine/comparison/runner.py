"""Runs of a comparison: each is one call of the training tool, in a process of its own.

A run that ended leaves ``result.json`` and is not repeated; one that was interrupted goes on from
its last checkpoint. What counts is the last weights of a run: the test images choose nothing.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from medmask.engine.comparison.plan import MODEL, Comparison, Run
from medmask.errors import InputError
from medmask.utils.child_tools import ChildTools
from medmask.utils.files import atomic_write
from medmask.utils.openmp import usable_cores

RESULT = "result.json"
LOG = "benchmark_log.txt"


@dataclass(frozen=True)
class RunResult:
    """Results of one run at one seed."""

    metrics: dict[str, float | None]
    minutes: float
    """of this machine, for training and evaluation"""


Results = dict[str, dict[int, RunResult]]
"""name of the run -> seed -> result"""


def run_comparison(
    comparison: Comparison,
    seeds: Sequence[int],
    output_dir: Path,
    *,
    tool: Sequence[str],
    jobs: int = 1,
    options: Sequence[str] = (),
    report: Callable[[Results, str], None] = lambda results, message: None,
) -> Results:
    """Do all runs that have no result yet.

    Args:
        comparison: what to do.
        seeds: each run is done once per seed.
        output_dir: run r at seed s works in ``<output_dir>/<r>/seed<s>``.
        tool: arguments with which Python starts the training tool, such as its file.
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
    results: Results = {run.name: {} for run in comparison.runs}
    waiting = [(run, seed) for run in comparison.runs for seed in seeds]
    running: dict[Future[RunResult], tuple[Run, int]] = {}
    failures: list[InputError] = []

    def work(run: Run, seed: int) -> RunResult:
        command = [*tool, *_arguments(run, comparison, seed, output_dir), *options]

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


def _arguments(run: Run, comparison: Comparison, seed: int, output_dir: Path) -> Iterator[str]:
    yield from ("--config-file", str(run.config))
    if run.adapt_batchnorm:
        yield from ("--eval-only", "--adapt-batchnorm", run.adapt_batchnorm)
    else:
        yield "--resume"
    yield f"train.output_dir={output_dir / run.name / f'seed{seed}'}"
    yield f"train.seed={seed}"
    yield "train.eval_period=0"
    yield f"dataloader.test.dataset={comparison.test_dataset}"
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
    """Read the numbers of the last evaluation."""
    if run.adapt_batchnorm:
        return json.loads((folder / "evaluation.json").read_text())
    last = json.loads((folder / "evaluations.json").read_text())[-1]
    prefix = "" if run.model == MODEL else f"{run.model}/"
    return {k.removeprefix(prefix): v for k, v in last.items() if k.startswith(prefix)}
