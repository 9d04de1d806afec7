"""Findings of a comparison: means over seeds, and paired differences to the controls."""

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medmask.engine.comparison.plan import Comparison, Run
from medmask.engine.comparison.run_result import Results
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
        of_seeds = {seed: result.metrics for seed, result in by_seed.items()}
        metrics = {metric: _over_seeds(of_seeds, metric) for metric in comparison.metrics}
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
            learning=tuple(summarize_learning(of_seeds)),
        )
    return list(rows.values())


def _over_seeds(metrics: Mapping[int, Mapping[str, float | None]], metric: str) -> MetricSummary:
    values = {seed: of_seed.get(metric) for seed, of_seed in metrics.items()}
    return MetricSummary({seed: x for seed, x in values.items() if x is not None})


def summarize_learning(
    metrics: Mapping[int, Mapping[str, float | None]],
) -> Iterator[LearningSummary]:
    """Summarize what the stages have learned.

    Args:
        metrics: seed -> metrics, those of learning by the names of ``LearningReport.measure``.
    """
    names = {name: None for of_seed in metrics.values() for name in of_seed}
    for beats in names:
        if beats.startswith(PREFIX) and beats.endswith(BEATS_CONSTANT):
            name = beats.removesuffix(BEATS_CONSTANT)
            verdicts = _over_seeds(metrics, beats).values
            yield LearningSummary(
                measure=name.removeprefix(PREFIX),
                value=_over_seeds(metrics, name),
                constant=_over_seeds(metrics, name + CONSTANT),
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
