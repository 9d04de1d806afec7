"""Showing a result: as strict JSON and as a table for the terminal."""

from dataclasses import asdict
from typing import Any

import numpy as np

from medmask.evaluation.bootstrap import interval_to_json
from medmask.evaluation.classification import ThresholdMetrics
from medmask.evaluation.coco_average_precision import AveragePrecision
from medmask.evaluation.results import CategorySensitivity, ClassificationResult, FrocResult
from medmask.evaluation.settings import PUBLISHED_SCRIPT, EvaluationSettings
from medmask.evaluation.tables import decimal, interval_text, text_table
from medmask.utils.counts import counted
from medmask.utils.json_files import finite_values


def result_to_json(result: FrocResult, ap: AveragePrecision | None = None) -> dict[str, Any]:
    """The result as JSON values.

    Fractions are in [0, 1]; what is undefined is null. ``fpi``, ``sensitivity`` and ``intervals``
    have one entry for each operating point; ``intervals`` and ``cpm_interval`` are null without the
    bootstrap. ``cpm`` is the mean sensitivity at 1/8, 1/4, ... 8 false positives per image.
    ``curve`` holds the corners of the exact staircase: the sensitivity at a rate of false positives
    is that of the last corner whose ``fpi`` does not exceed it.
    """
    corners = result.curve.corners()
    content = {
        "fpi": result.settings.operating_points,
        "sensitivity": result.sensitivity.tolist(),
        "intervals": _intervals_to_json(result.intervals),
        "cpm": result.cpm,
        "cpm_interval": interval_to_json(result.cpm_interval),
        "counts": asdict(result.counts),
        "image_level": _classification_to_json(result.images),
        "breast_level": result.breasts and _classification_to_json(result.breasts),
        "average_precision": ap and asdict(ap),
        "categories": [_category_to_json(category) for category in result.categories],
        "curve": {
            "score": corners.thresholds.tolist(),
            "fpi": corners.fpi.tolist(),
            "sensitivity": corners.sensitivity.tolist(),
        },
        "settings": asdict(result.settings),
        "warnings": result.warnings,
    }
    return finite_values(content)


def format_table(result: FrocResult, ap: AveragePrecision | None = None) -> str:
    """A short report for the terminal."""
    counts = result.counts
    patients = "" if counts.patients is None else f" of {counted(counts.patients, 'patient')}"
    lines = [
        f"{counted(counts.images, 'image')}{patients}, {counted(counts.lesions, 'lesion')} in "
        f"{counted(counts.images_with_lesions, 'image')}, "
        f"{counted(counts.detections_after_nms, 'detection')} "
        f"({counts.detections} before suppression)",
        *_other_rule(result.settings),
        "",
        _sensitivity_table(result),
        _cpm_line(result),
        "",
        _classification_table(result),
    ]
    if len(result.categories) > 1:
        lines += ["", _category_table(result)]
    if ap is not None:
        lines += ["", f"AP {decimal(ap.ap)}   AP50 {decimal(ap.ap50)}   AP75 {decimal(ap.ap75)}"]
    return "\n".join(lines)


def _cpm_line(result: FrocResult) -> str:
    is_known = interval_to_json(result.cpm_interval) is not None
    shown = f" ({interval_text(result.cpm_interval)})" if is_known else ""
    return f"CPM {decimal(result.cpm)}{shown}, the mean sensitivity at 1/8, 1/4, ... 8 FP/image"


def _other_rule(settings: EvaluationSettings) -> list[str]:
    """Tell of the rule of a hit, if it is not that of the center in the lesion's box."""
    if settings.hit_rule == PUBLISHED_SCRIPT:
        return ["hits by the rule published_script: to compare with published figures alone"]
    if settings.iou_threshold is not None:
        return [f"hits from an IoU of {settings.iou_threshold:g} on"]
    return []


def _classification_to_json(result: ClassificationResult) -> dict[str, Any]:
    return {
        "auc": result.auc,
        "auc_interval": interval_to_json(result.auc_interval),
        "best_f1": result.best_f1 and asdict(result.best_f1),
        "at_score": asdict(result.at_score),
    }


def _category_to_json(category: CategorySensitivity) -> dict[str, Any]:
    return asdict(category) | {"sensitivity": category.sensitivity.tolist()}


def _intervals_to_json(intervals: np.ndarray | None) -> list[list[float] | None] | None:
    return None if intervals is None else [interval_to_json(interval) for interval in intervals]


def _sensitivity_table(result: FrocResult) -> str:
    rows = [
        [
            f"{point:g}",
            decimal(result.sensitivity[index]),
            "" if result.intervals is None else interval_text(result.intervals[index]),
        ]
        for index, point in enumerate(result.settings.operating_points)
    ]
    return text_table(rows, ["FP/image", "sensitivity", "95% interval"])


def _classification_table(result: FrocResult) -> str:
    rows = []
    for level, metrics in (("image", result.images), ("breast", result.breasts)):
        if metrics is None:
            continue
        interval = interval_text(metrics.auc_interval)
        rows.append(
            [level, decimal(metrics.auc), interval, *_threshold_row("given", metrics.at_score)]
        )
        if metrics.best_f1 is not None:
            rows.append(["", "", "", *_threshold_row("best F1", metrics.best_f1)])
    headers = ["level", "AUC", "95% interval", "threshold", "score"]
    return text_table(rows, [*headers, "F1", "sensitivity", "specificity"])


def _threshold_row(name: str, metrics: ThresholdMetrics) -> list[str]:
    values = (metrics.score, metrics.f1, metrics.sensitivity, metrics.specificity)
    return [name, *map(decimal, values)]


def _category_table(result: FrocResult) -> str:
    rows = [
        [category.name, category.lesions, *map(decimal, category.sensitivity)]
        for category in result.categories
    ]
    points = [f"R@{point:g}" for point in result.settings.operating_points]
    return text_table(rows, ["category", "lesions", *points])
