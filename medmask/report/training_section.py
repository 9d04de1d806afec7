"""Losses and results over the iterations of training, and what the stages learned."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from medmask.engine.learning import BEATS_CONSTANT, CONSTANT, PREFIX
from medmask.report.charts import Series, draw_chart, linear_axis
from medmask.report.html import Content, Markup, element, join
from medmask.report.run_files import RunFiles, Values
from medmask.report.section import Section, decimal, fold, missing, note, table
from medmask.stages.gradient_norms import DETECTION, group_of

_RESULTS = ("froc/R@0.3", "froc/CPM", "froc/image_auc", "bbox/AP50")
_KINDS = {
    DETECTION: "Losses of detection",
    f"{DETECTION}_target": "Losses of detection on pseudo labels",
}
_OTHER = "Losses of the stages"
_MOST_LINES = 12
_SMOOTHED_OVER = 50  # parts of the whole run


def training_section(runs: Sequence[RunFiles]) -> Section:
    """Charts of what each run logged, over its iterations."""
    parts: list[Content] = []
    drawn: dict[Path, str] = {}
    for run in runs:
        if len(runs) > 1:
            parts.append(element("h3", run.label))
        if run.home in drawn:
            parts.append(note(f"Trained in the same run as {drawn[run.home]}."))
            continue
        drawn[run.home] = run.label
        parts.append(_charts(run))
        parts.append(_learning(run))
    return Section("Training", "training", join(parts))


def _charts(run: RunFiles) -> Markup:
    if not run.metrics:
        return missing(
            f"{run.path} has no metrics.json, so there are no losses to draw: train with medmask "
            "train and this train.output_dir, or name the folder of the training"
        )
    charts = [_results_chart(run.evaluations)]
    if any("total_loss" in line for line in run.metrics):
        charts.append(_chart("Total loss", "loss", run.metrics, ["total_loss"]))
    losses = _names(run.metrics, lambda name: "loss" in name and name != "total_loss")
    for title, names in _by(losses, lambda name: _KINDS.get(group_of(name), _OTHER)).items():
        charts.append(_chart(title, "loss", run.metrics, names))
    charts.append(_chart("Learning rate", "learning rate", run.metrics, ["lr"], is_smooth=False))
    norms = _names(run.metrics, lambda name: name.startswith("gradient_norm/"))
    for part, names in _by(norms, lambda name: name.rpartition("/")[2]).items():
        title = f"Gradients of each loss in the {part}"
        charts.append(_chart(title, "norm", run.metrics, names, is_smooth=False))
    return element("div", charts, class_="charts")


def _results_chart(evaluations: Sequence[Values]) -> Markup | None:
    names = [name for name in _RESULTS if any(name in each for each in evaluations)]
    return _chart("Results while training", "percent", evaluations, names, is_smooth=False)


def _names(lines: Sequence[Values], fits: Callable[[str], bool]) -> list[str]:
    names = dict.fromkeys(name for line in lines for name in line if fits(name))
    return sorted(names)


def _by(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    """Group names, each group being one chart."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


def _chart(
    title: str, unit: str, lines: Sequence[Values], names: Sequence[str], *, is_smooth: bool = True
) -> Markup | None:
    """A line for each name, where it has a number."""
    series = [_series(name, lines, is_smooth=is_smooth) for name in names[:_MOST_LINES]]
    series = [each for each in series if np.isfinite(each.y).any()]
    if not series:
        return None
    x = np.concatenate([each.x for each in series])
    y = np.concatenate([each.y for each in series])
    told = []
    if is_smooth:
        told.append("Lines are running medians of single iterations.")
    if len(names) > _MOST_LINES:
        told.append(f"The first {_MOST_LINES} of {len(names)} are drawn; metrics.json has all.")
    return draw_chart(
        title,
        linear_axis("iteration", x),
        linear_axis(unit, y, from_zero=True),
        series,
        note=" ".join(told),
    )


def _series(name: str, lines: Sequence[Values], *, is_smooth: bool) -> Series:
    known = [line for line in lines if name in line]
    x = np.array([line["iteration"] for line in known])
    y = np.array([line[name] for line in known])
    if is_smooth:
        y = running_median(y, len(y) // _SMOOTHED_OVER)
        return Series(name, x, y)
    return Series(name, x, y, points=np.stack([x, y], axis=1) if len(x) < 20 else None)


def running_median(values: np.ndarray, reach: int) -> np.ndarray:
    """The median of each value with ``reach`` neighbors on either side, fewer at the ends.

    NaN do not count; where there is nothing else, the median is NaN.
    """
    padded = np.pad(values, reach, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    medians = np.full(len(values), np.nan)
    known = np.isfinite(windows).any(axis=1)
    medians[known] = np.nanmedian(np.where(np.isfinite(windows[known]), windows[known], np.nan), 1)
    return medians


def _learning(run: RunFiles) -> Markup:
    """Show what each stage learned beside a constant answer, at its last measurement."""
    # a stage that ended before the run is not in the last evaluation
    measured: Values = {}
    for values in (*run.evaluations, *run.metrics):
        measured |= {name: value for name, value in values.items() if name.startswith(PREFIX)}
    names = [
        name.removeprefix(PREFIX)
        for name in measured
        if not name.endswith((CONSTANT, BEATS_CONSTANT))
    ]
    if not names:
        return note(
            f"{run.label} has no measures of learning: a run with loss_hooks that measure it, and "
            "train.held_out_images above 0, writes them."
        )
    rows = []
    for name in names:
        value = measured[f"{PREFIX}{name}"]
        constant = measured.get(f"{PREFIX}{name}{CONSTANT}", math.nan)
        beats = measured.get(f"{PREFIX}{name}{BEATS_CONSTANT}", math.nan)
        verdict = "unknown" if math.isnan(beats) else "yes" if beats else "no"
        rows.append((name, decimal(value), decimal(constant), verdict))
    header = ["measure", "value", "of a constant answer", "beyond chance"]
    return fold(
        "Learning of the stages, on held-out images",
        table(header, rows),
        note("A stage that does not beat a constant answer is not shown to have learned anything."),
        is_open=True,
    )
