"""Metrics with their intervals, and the curves behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmask.engine.learning import PREFIX
from medmask.evaluation import FrocResult
from medmask.evaluation.classification import ScoredUnits, ThresholdMetrics, roc_curve
from medmask.evaluation.results import ClassificationResult
from medmask.evaluation.settings import PUBLISHED_SCRIPT
from medmask.report.charts import Axis, Series, draw_chart, unit_axis
from medmask.report.evaluated_run import EvaluatedRun, Unevaluated
from medmask.report.html import Content, Markup, element, join
from medmask.report.run_files import RunFiles
from medmask.report.section import Section, decimal, fold, interval_text, missing, note, table
from medmask.utils.counts import counted

_NAMED_RATE = 0.3


@dataclass(frozen=True)
class _Named:
    label: str
    run: EvaluatedRun


def metrics_section(
    runs: Sequence[RunFiles], evaluated: Sequence[EvaluatedRun | Unevaluated]
) -> Section:
    """Sensitivities, CPM and classification, FROC and ROC curves of all runs."""
    named = [
        _Named(run.label, each)
        for run, each in zip(runs, evaluated, strict=True)
        if isinstance(each, EvaluatedRun)
    ]
    parts: list[Content] = [
        missing(each.reason) for each in evaluated if isinstance(each, Unevaluated)
    ]
    parts += _other_models(runs)
    if named:
        parts += [_tiles(each) for each in named]
        parts.append(element("div", _froc_chart(named), _roc_charts(named), class_="charts"))
        parts += [_details(each) for each in named]
    parts += [_other_results(run) for run in runs]
    return Section("Results", "results", join(parts))


def _other_models(runs: Sequence[RunFiles]) -> list[Markup]:
    """Name the models of the runs, such as a teacher, that the page could show and does not."""
    shown = {run.path.resolve() for run in runs}
    return [
        missing(
            f"{run.label} has evaluated its {folder.name}, too, which is not shown here: medmask "
            f"report {run.path} {folder}"
        )
        for run in runs
        for folder in run.other_models()
        if folder.resolve() not in shown
    ]


def _tiles(named: _Named) -> Markup:
    """The main figures, large."""
    result = named.run.result
    counts = result.counts
    tiles = []
    points = result.settings.operating_points
    if _NAMED_RATE in points:
        index = points.index(_NAMED_RATE)
        interval = None if result.intervals is None else result.intervals[index]
        tiles.append(
            (f"R@{_NAMED_RATE:g}", decimal(result.sensitivity[index]), interval_text(interval))
        )
    interval = interval_text(result.cpm_interval)
    meaning = "mean sensitivity at 1/8 to 8 FPI"
    tiles.append(("CPM", decimal(result.cpm), f"{interval}; {meaning}" if interval else meaning))
    levels = (("Image AUC", result.images), ("Breast AUC", result.breasts))
    tiles += [
        (name, decimal(level.auc), interval_text(level.auc_interval))
        for name, level in levels
        if level is not None
    ]
    patients = (
        "patients unknown" if counts.patients is None else counted(counts.patients, "patient")
    )
    tiles.append(("Images", str(counts.images), f"{patients}, {counted(counts.lesions, 'lesion')}"))
    return element(
        "div",
        element("h3", f"{named.label} on {named.run.dataset}"),
        element("dl", [_tile(*tile) for tile in tiles], class_="tiles"),
    )


def _tile(name: str, value: str, more: str) -> Markup:
    return element(
        "div", element("dt", name), element("dd", value), element("dd", more, class_="more")
    )


def _froc_chart(named: Sequence[_Named]) -> Markup:
    points = sorted({p for each in named for p in each.run.settings.positive_rates()})
    limits = (points[0] / 1.4, points[-1] * 1.4)
    return draw_chart(
        "FROC",
        Axis("false positives per image (FPI)", limits, tuple(points), is_log=True),
        unit_axis("lesion sensitivity"),
        [_froc_series(each, limits) for each in named],
        note="The exact staircase, level after the last false positive; the band is the 95% "
        "interval over patients at each rate.",
    )


def _froc_series(named: _Named, limits: tuple[float, float]) -> Series:
    result = named.run.result
    corners = result.curve.corners()
    first, end = np.searchsorted(corners.fpi, limits, side="right")
    shown = slice(first - 1, end)  # from the corner that holds at the lower limit
    found = corners.sensitivity[shown]
    x = np.append(np.maximum(corners.fpi[shown], limits[0]), limits[1])
    y = np.append(found, found[-1])
    rates = np.array(result.settings.operating_points)
    band = result.band
    return Series(
        named.label,
        x,
        y,
        is_steps=True,
        band=None if band is None else (band.fpi, band.lower, band.upper),
        points=np.stack([rates, result.sensitivity], axis=1)[rates > 0],
    )


def _roc_charts(named: Sequence[_Named]) -> list[Markup]:
    levels: list[tuple[str, list[Series]]] = [
        ("ROC of images", [_roc_series(each.label, each.run.images) for each in named]),
        (
            "ROC of breasts",
            [
                _roc_series(each.label, each.run.breasts)
                for each in named
                if each.run.breasts is not None
            ],
        ),
    ]
    return [
        draw_chart(
            title,
            unit_axis("1 − specificity"),
            unit_axis("sensitivity"),
            series,
            note="The thin line is chance.",
            has_diagonal=True,
        )
        for title, series in levels
        if series
    ]


def _roc_series(label: str, units: ScoredUnits) -> Series:
    return Series(label, *roc_curve(units))


def _details(named: _Named) -> Markup:
    result = named.run.result
    rows = [
        (
            f"{point:g}",
            decimal(result.sensitivity[index]),
            interval_text(None if result.intervals is None else result.intervals[index]),
        )
        for index, point in enumerate(result.settings.operating_points)
    ]
    parts = [
        table(["FPI", "sensitivity", "95% interval"], rows),
        _classification_table(result),
    ]
    if len(result.categories) > 1:
        header = ["category", "lesions", *(f"R@{p:g}" for p in result.settings.operating_points)]
        categories: list[tuple[str | int, ...]] = [
            (c.name, c.lesions, *(decimal(value) for value in c.sensitivity))
            for c in result.categories
        ]
        parts.append(table(header, categories))
    parts += [note(sentence) for sentence in result.warnings]
    parts.append(note(_describe_settings(result)))
    return fold(f"All figures of {named.label}", parts, is_open=True)


def _classification_table(result: FrocResult) -> Markup:
    rows = []
    for level, metrics in (("image", result.images), ("breast", result.breasts)):
        if metrics is not None:
            rows += _classification_rows(level, metrics)
    header = ["level", "threshold", "AUC", "95% interval", "score", "F1", "sensitivity"]
    return table([*header, "specificity"], rows, num_texts=2)


def _classification_rows(level: str, metrics: ClassificationResult) -> list[tuple[str, ...]]:
    def at(threshold: ThresholdMetrics) -> tuple[str, ...]:
        values = (threshold.score, threshold.f1, threshold.sensitivity, threshold.specificity)
        return tuple(map(decimal, values))

    auc = (decimal(metrics.auc), interval_text(metrics.auc_interval))
    rows: list[tuple[str, ...]] = [(level, "given", *auc, *at(metrics.at_score))]
    if metrics.best_f1 is not None:
        rows.append((level, "best F1", *auc, *at(metrics.best_f1)))
    return rows


def _describe_settings(result: FrocResult) -> str:
    settings = result.settings
    if settings.hit_rule == PUBLISHED_SCRIPT:
        hit = (
            f"its center lies where the public script has the lesion (hit rule {PUBLISHED_SCRIPT})"
        )
    elif settings.iou_threshold is None:
        hit = "its center lies in the lesion's box"
    else:
        hit = f"its IoU with the lesion's box is at least {settings.iou_threshold:g}"
    suppressed = (
        "no suppression"
        if settings.nms_iou is None
        else f"non-maximum suppression at IoU {settings.nms_iou:g}"
    )
    intervals = (
        f"95% intervals from {counted(settings.bootstrap, 'resample')} of the patients (seed "
        f"{settings.seed})"
        if settings.bootstrap
        else "no intervals"
    )
    return (
        f"A detection hits a lesion when {hit}; {suppressed}; {intervals}, which tell of "
        "other patients, not of other seeds."
    )


def _other_results(run: RunFiles) -> Markup | None:
    """All numbers of the last evaluation as the run wrote them, such as AP and other models."""
    values = {
        name: value
        for name, value in run.evaluation.items()
        if name != "iteration" and not name.startswith(PREFIX)
    }
    if not values:
        return None
    rows = [(name, decimal(value, 2)) for name, value in values.items()]
    return fold(
        f"Last evaluation of {run.label}, as the run wrote it, in percent",
        table(["result", "value"], rows),
    )
