"""What a comparison found: means over seeds, and paired differences to the controls."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from medmask.engine.comparison.plan import Comparison, Run
from medmask.engine.comparison.run_result import Results
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
class RunSummary:
    """A row of the table."""

    run: str
    metrics: Mapping[str, MetricSummary]
    minutes: float
    """mean over the seeds"""
    comparisons: tuple[ControlComparison, ...]


def summarize(comparison: Comparison, results: Results) -> list[RunSummary]:
    """Summarize each run that has results, in the order of the plan."""
    rows: dict[str, RunSummary] = {}
    for run in comparison.runs:
        by_seed = dict(sorted(results[run.name].items()))
        metrics = {
            metric: MetricSummary(
                {
                    seed: value
                    for seed, result in by_seed.items()
                    if (value := result.metrics.get(metric)) is not None
                }
            )
            for metric in comparison.metrics
        }
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
        )
    return list(rows.values())


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
