"""Differences of runs from the first, over the same patients."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from omegaconf import DictConfig

from medmask.config.tree import iterate_values, raw_value
from medmask.evaluation.paired_bootstrap import MetricDifference, compare_over_patients
from medmask.evaluation.settings import EvaluationSettings
from medmask.report.evaluated_run import EvaluatedRun, Unevaluated
from medmask.report.html import Content, Markup, element, join
from medmask.report.run_files import RunFiles
from medmask.report.section import Section, decimal, fold, interval_text, missing, note, table
from medmask.utils.counts import counted

_DEFAULT_RESAMPLES = 1000


def comparison_section(
    runs: Sequence[RunFiles],
    evaluated: Sequence[EvaluatedRun | Unevaluated],
    bootstrap: int | None = None,
) -> Section | None:
    """A table for each run but the first; None for one run alone.

    Args:
        runs: their files.
        evaluated: their evaluations.
        bootstrap: resamples of the patients that were asked for, 0 for no intervals; None takes as
            many as the evaluations did, the usual number where these did none.
    """
    if len(runs) < 2:
        return None
    first = evaluated[0]
    if isinstance(first, Unevaluated):
        return _section(missing(f"The first run is what others are compared with: {first.reason}"))
    parts: list[Content] = []
    same: list[tuple[RunFiles, EvaluatedRun]] = []
    for run, each in zip(runs[1:], evaluated[1:], strict=True):
        if isinstance(each, Unevaluated):
            parts.append(missing(each.reason))
        elif each.dataset != first.dataset or each.settings != first.settings:
            parts.append(missing(_contradiction(runs[0], first, run, each)))
        else:
            same.append((run, each))
    if same:
        settings = first.settings
        if bootstrap is None and not settings.bootstrap:
            settings = replace(settings, bootstrap=_DEFAULT_RESAMPLES)
        comparisons = compare_over_patients(
            first.ground_truth, [first.detections, *(each.detections for _, each in same)], settings
        )
        for (run, _), differences in zip(same, comparisons, strict=True):
            parts.append(element("h3", f"{run.label} minus {runs[0].label}"))
            parts.append(_differences_table(differences))
        parts.append(note(_describe_intervals(settings)))
    parts += [_config_differences(runs[0], run) for run in runs[1:]]
    return _section(join(parts))


def _describe_intervals(settings: EvaluationSettings) -> str:
    if not settings.bootstrap:
        return (
            "No intervals were asked for (--bootstrap 0), so nothing tells which differences hold."
        )
    return (
        f"Both runs on the same {counted(settings.bootstrap, 'resample')} of the patients (seed "
        f"{settings.seed}); a difference is marked where its 95% interval does not hold 0. The "
        "intervals tell of other patients, not of other seeds: for those train both several times "
        "(medmask run-benchmark). With this many figures one in twenty is marked by chance. Where "
        "a single patient has lesions there are no intervals."
    )


def _section(content: Markup) -> Section:
    return Section("Comparison", "comparison", content)


def _contradiction(first: RunFiles, ours: EvaluatedRun, run: RunFiles, other: EvaluatedRun) -> str:
    if ours.dataset != other.dataset:
        return (
            f"{run.label} was evaluated on {other.dataset} and {first.label} on {ours.dataset}, so "
            "their patients are not the same: evaluate both on one data set with medmask train "
            "--eval-only dataloader.test.dataset=NAME"
        )
    return (
        f"{run.label} and {first.label} were evaluated with different settings: evaluate both with "
        "the same dataloader.evaluator"
    )


def _differences_table(differences: Sequence[MetricDifference]) -> Markup:
    rows = []
    for each in differences:
        shown = each.difference
        sign = "" if not np.isfinite(shown) else "+" if shown > 0 else ""
        rows.append(
            (
                each.metric,
                decimal(each.control),
                decimal(each.value),
                f"{sign}{decimal(shown)}",
                interval_text(each.interval),
                element("strong", "higher" if shown > 0 else "lower") if each.excludes_zero else "",
            )
        )
    header = ["metric", "first run", "this run", "difference", "95% interval", "marked"]
    return table(header, rows)


def _config_differences(first: RunFiles, run: RunFiles) -> Markup | None:
    """The keys of the configs that differ."""
    if first.config is None or run.config is None:
        return None
    ours, other = dict(_values(first.config)), dict(_values(run.config))
    rows = [
        (key, ours.get(key, "–"), other.get(key, "–"))
        for key in sorted(ours.keys() | other.keys())
        if ours.get(key) != other.get(key)
    ]
    if not rows:
        return note(f"The configs of {first.label} and {run.label} are the same.")
    summary = f"Keys of the configs that differ: {len(rows)} of {run.label}"
    return fold(summary, table(["key", first.label, run.label], rows, num_texts=3))


def _values(config: DictConfig) -> Iterator[tuple[str, str]]:
    """The keys of a config with their values as they are written; references stay references."""
    for key, parent, name in iterate_values(config):
        yield key, str(raw_value(parent, name))
