"""Findings of a comparison: means over seeds, and paired differences to the controls."""

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medmask.engine.comparison.plan import Comparison, Run
from medmask.engine.comparison.run_result import Results, RunResult
from medmask.engine.learning import BEATS_CONSTANT, CONSTANT, PREFIX
from medmask.evaluation.paired_differences import PairedDifference, paired_difference


@dataclass(frozen=True)
class MetricSummary:
    """A metric of a run, over its seeds."""

    values: Mapping[int, float]
    """seed -> value; seeds without one (a test set without lesions) are left out"""

    @property
    def mean(self) -> float:
        """NaN without a value."""
        return statistics.fmean(self.values.values()) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Of the sample; NaN below two seeds."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else math.nan


@dataclass(frozen=True)
class ControlComparison:
    """A run against one of its controls."""

    control: str
    shared_start: str | None
    """the run that both come from; None if they share the seed alone"""
    differences: Mapping[str, PairedDifference]
    """metric -> run minus control, over the seeds that both have"""


@dataclass(frozen=True)
class LearningSummary:
    """A measure of a stage's learning, over the seeds of a run."""

    measure: str
    """such as ``mae/R2_res5``"""
    value: MetricSummary
    constant: MetricSummary
    """what an answer that ignores the image gets"""
    num_better: int
    """seeds whose value beats the constant"""
    num_seeds: int
    """seeds at which it was measured, those without a value (labels of a teacher that gave none)
    among them"""


@dataclass(frozen=True)
class RunSummary:
    """A row of the table."""

    run: str
    metrics: Mapping[str, MetricSummary]
    minutes: float
    """mean over the seeds"""
    comparisons: tuple[ControlComparison, ...]
    learning: tuple[LearningSummary, ...]


def summarize(comparison: Comparison, results: Results) -> list[RunSummary]:
    """Summarize each run that has results, in the order of the plan."""
    rows: dict[str, RunSummary] = {}
    for run in comparison.runs:
        by_seed = dict(sorted(results[run.name].items()))
        metrics = {metric: _over_seeds(by_seed, metric) for metric in comparison.metrics}
        if not metrics[comparison.metric].values:
            continue
        rows[run.name] = RunSummary(
            run=run.name,
            metrics=metrics,
            minutes=statistics.fmean(result.minutes for result in by_seed.values()),
            comparisons=tuple(
                _compare(comparison, run, metrics, rows[name])
                for name in run.controls
                if name in rows
            ),
            learning=tuple(_summarize_learning(by_seed)),
        )
    return list(rows.values())


def _over_seeds(by_seed: Mapping[int, RunResult], metric: str) -> MetricSummary:
    values = {seed: result.metrics.get(metric) for seed, result in by_seed.items()}
    return MetricSummary({seed: x for seed, x in values.items() if x is not None})


def _summarize_learning(by_seed: Mapping[int, RunResult]) -> Iterator[LearningSummary]:
    names = {name: None for result in by_seed.values() for name in result.metrics}
    for beats in names:
        if beats.startswith(PREFIX) and beats.endswith(BEATS_CONSTANT):
            name = beats.removesuffix(BEATS_CONSTANT)
            verdicts = _over_seeds(by_seed, beats).values
            yield LearningSummary(
                measure=name.removeprefix(PREFIX),
                value=_over_seeds(by_seed, name),
                constant=_over_seeds(by_seed, name + CONSTANT),
                num_better=int(sum(verdicts.values())),
                num_seeds=len(verdicts),
            )


def _compare(
    comparison: Comparison, run: Run, metrics: Mapping[str, MetricSummary], control: RunSummary
) -> ControlComparison:
    differences = {}
    for metric, ours in metrics.items():
        others = control.metrics[metric].values
        seeds = [seed for seed in ours.values if seed in others]
        differences[metric] = paired_difference(
            [ours.values[seed] for seed in seeds], [others[seed] for seed in seeds]
        )
    shared_start = comparison.shared_start(run, comparison[control.run])
    return ControlComparison(control.run, shared_start, differences)
