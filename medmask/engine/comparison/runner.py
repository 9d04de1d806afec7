"""Runs of a comparison: each is one call of the training tool, in a process of its own.

A run that ended leaves ``result.json`` and is not repeated; one that was interrupted goes on from
its last checkpoint. What counts is the last weights of a run: the test images choose nothing.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from medmask.engine.comparison.plan import MODEL, Comparison, Run
from medmask.engine.comparison.run_config import RunConfigs
from medmask.engine.comparison.run_result import (
    RESULT,
    Results,
    RunResult,
    check_start,
    complete_run,
    read_result,
)
from medmask.engine.learning import PREFIX
from medmask.errors import InputError
from medmask.utils.child_tools import ChildTools
from medmask.utils.job_progress import JobProgress
from medmask.utils.job_queue import do_jobs
from medmask.utils.openmp import usable_cores
from medmask.utils.overrides import as_override

_THREADS = "OMP_NUM_THREADS"
_SEED = re.compile("seed(0|[1-9][0-9]*)")
_DECIDED_BY = {
    "train.output_dir": "the output folder",
    "train.seed": "the list of seeds",
    "dataloader.test.dataset": "the plan's test_dataset",
}
_DECIDED_BY_START = {"train.init_checkpoint": "the plan's start"}

_Job = tuple[Run, int]
"""A run at a seed."""


def run_comparison(
    comparison: Comparison,
    seeds: Sequence[int],
    output_dir: Path,
    *,
    tool: Sequence[str],
    jobs: int = 1,
    options: Sequence[str] = (),
    report: Callable[[str], None] = lambda message: None,
) -> Results:
    """Do all runs that have no result yet.

    Args:
        comparison: what to do.
        seeds: each run is done once per seed.
        output_dir: run r at seed s works in ``<output_dir>/<r>/seed<s>``.
        tool: arguments with which Python starts the training tool, such as its file.
        jobs: runs at the same time; they share the machine's cores, as many threads for each,
            unless the environment variable ``OMP_NUM_THREADS`` says how many.
        options: ``key=value`` settings for every run.
        report: called at the start, and after each run, with a line on what was done and what is
            left.

    Returns:
        Results of these runs at these seeds.

    Raises:
        InputError: a run failed, which names its log, or has no such metric. Runs that do not need
            it are done all the same. Or a result that is there was made otherwise, or its start was
            trained again, or a setting is one that the plan decides; then nothing is done.
        StoppedBySignal: a signal came; runs that were under way have saved what they had done.
    """
    results, waiting = _find_results(comparison, seeds, output_dir, options)
    threads = os.environ.get(_THREADS, str(max(1, usable_cores() // jobs)))
    children = ChildTools()
    progress = JobProgress(len(waiting), jobs, report)

    def may_begin(job: _Job) -> bool:
        run, seed = job
        return run.start is None or seed in results[run.start]

    def work(job: _Job) -> RunResult:
        run, seed = job
        settings = _settings(run, comparison, options)
        command = [*tool, *_arguments(run, comparison, seed, output_dir), *settings]

        def call(log: IO) -> int:
            return children.run(command, log, {_THREADS: threads})

        result = complete_run(run, _folder(output_dir, run.name, seed), settings, call)
        _check_metric(run, comparison, result)
        return result

    def keep(job: _Job, result: RunResult) -> None:
        run, seed = job
        results[run.name][seed] = result
        progress.tell(f"{run.name}, seed {seed}: {result.minutes:.1f} minutes")

    def tell_of_failure(job: _Job, error: InputError) -> None:
        run, seed = job
        progress.tell(f"{run.name}, seed {seed}: {error}")

    with children.passing_signals_on():
        do_jobs(
            waiting,
            work,
            at_once=jobs,
            may_begin=may_begin,
            on_result=keep,
            on_failure=tell_of_failure,
        )
    return results


def _find_results(
    comparison: Comparison, seeds: Sequence[int], output_dir: Path, options: Sequence[str]
) -> tuple[Results, list[_Job]]:
    """Read the results that are there, and list the runs that have none.

    Raises:
        InputError: as :func:`run_comparison`, before anything is done.
    """
    configs = RunConfigs()
    results: Results = {run.name: {} for run in comparison.runs}
    waiting: list[_Job] = []
    for run in comparison.runs:
        _check_options(run, options)
        settings = _settings(run, comparison, options)
        for seed in seeds:
            folder = _folder(output_dir, run.name, seed)
            result = read_result(run, folder, settings, configs)
            if result is None:
                waiting.append((run, seed))
                continue
            weights = _start_weights(run, comparison, seed, output_dir)
            is_due = run.start is not None and seed not in results[run.start]
            check_start(result, folder, weights, is_due=is_due)
            _check_metric(run, comparison, result)
            results[run.name][seed] = result
    return results, waiting


def read_results(
    comparison: Comparison, output_dir: Path, options: Sequence[str] = ()
) -> tuple[Results, list[str]]:
    """Read the results of all runs that have ended, of this call and of others, at any seed.

    Args:
        comparison: the plan.
        output_dir: see :func:`run_comparison`.
        options: ``key=value`` settings for every run, with which results must have been made.

    Returns:
        The results, and a sentence on each that no table shows: one that was made otherwise, is
        damaged, or has no value of the metric; and on metrics beside it that a run does not have.
    """
    configs = RunConfigs()
    results: Results = {}
    problems: list[str] = []
    for run in comparison.runs:
        results[run.name] = {}
        settings = _settings(run, comparison, options)
        for seed in _seeds_of(output_dir / run.name):
            folder = _folder(output_dir, run.name, seed)
            try:
                result = read_result(run, folder, settings, configs)
                if result is None:
                    continue
                check_start(result, folder, _start_weights(run, comparison, seed, output_dir))
                _check_metric(run, comparison, result)
            except InputError as error:
                problems.append(str(error))
                continue
            results[run.name][seed] = result
            if result.metrics[comparison.metric] is None:
                problems.append(
                    f"{folder / RESULT} has no value of {comparison.metric}, which is undefined "
                    "where nothing can be found, as on a test set without lesions"
                )
        problems += _absent_beside(run, comparison, list(results[run.name].values()))
    return results, problems


def _folder(output_dir: Path, name: str, seed: int) -> Path:
    return output_dir / name / f"seed{seed}"


def _seeds_of(folder: Path) -> list[int]:
    names = (_SEED.fullmatch(path.name) for path in folder.glob("seed*"))
    return sorted(int(name[1]) for name in names if name)


def _arguments(run: Run, comparison: Comparison, seed: int, output_dir: Path) -> Iterator[str]:
    """List what differs from place to place and from seed to seed."""
    yield from ("--config-file", str(run.config))
    if run.adapt_batchnorm:
        yield from ("--eval-only", "--adapt-batchnorm", run.adapt_batchnorm)
    else:
        yield "--resume"
    yield as_override("train.output_dir", str(_folder(output_dir, run.name, seed)))
    yield f"train.seed={seed}"
    yield "train.eval_period=0"
    weights = _start_weights(run, comparison, seed, output_dir)
    if weights is not None:
        yield as_override("train.init_checkpoint", str(weights))


def _start_weights(run: Run, comparison: Comparison, seed: int, output_dir: Path) -> Path | None:
    """The weights that a run starts from; None if it starts from no other run."""
    if run.start is None:
        return None
    # Training goes on from the trained weights; AdaBN adapts the model that counts.
    model = comparison[run.start].model if run.adapt_batchnorm else MODEL
    return _folder(output_dir, run.start, seed) / f"{model}_final.pth"


def _settings(run: Run, comparison: Comparison, options: Sequence[str]) -> list[str]:
    """List what decides on the result besides the config and the seed."""
    test_dataset = as_override("dataloader.test.dataset", comparison.test_dataset)
    return [test_dataset, *run.options, *options]


def _check_options(run: Run, options: Sequence[str]) -> None:
    """Refuse settings that would make a run another one than its row in the table says."""
    decided = _DECIDED_BY | (_DECIDED_BY_START if run.start is not None else {})
    for option in (*run.options, *options):
        key = option.partition("=")[0].lstrip("+")
        if key in decided:
            raise InputError(
                f"run '{run.name}' is given the setting {option}, but {decided[key]} decides on "
                f"{key}: leave it out"
            )


def _check_metric(run: Run, comparison: Comparison, result: RunResult) -> None:
    """Refuse a metric that no evaluation gave: the run would be missing from the table."""
    if comparison.metric not in result.metrics:
        raise InputError(
            f"run '{run.name}' has no result '{comparison.metric}', which the plan names as its "
            f"metric; it has {_evaluated(result)}"
        )


def _absent_beside(run: Run, comparison: Comparison, results: Sequence[RunResult]) -> Iterator[str]:
    """Tell of metrics whose column stays empty, such as those that the plan misspells."""
    for metric in comparison.beside:
        if results and not any(metric in result.metrics for result in results):
            yield (
                f"run '{run.name}' has no result '{metric}', which the plan shows beside its "
                f"metric; it has {_evaluated(results[0])}"
            )


def _evaluated(result: RunResult) -> str:
    return ", ".join(name for name in result.metrics if not name.startswith(PREFIX)) or "none"
