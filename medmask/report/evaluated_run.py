"""Evaluation of a run's detections once more, for the curves that its files do not hold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from detectron2.data import DatasetCatalog

from medmask.errors import InputError
from medmask.evaluation import (
    Detections,
    EvaluationSettings,
    FrocResult,
    GroundTruth,
    evaluate_detections,
    ground_truth_of,
    read_detections,
)
from medmask.evaluation.classification import ScoredUnits, score_breasts, score_images
from medmask.evaluation.matching import localize
from medmask.evaluation.suppression import suppress_overlaps
from medmask.report.run_files import RunFiles
from medmask.utils.progress import with_progress


@dataclass(frozen=True)
class EvaluatedRun:
    """Detections of a run, and what an evaluation finds.

    Attributes:
        dataset: name of the data set.
        dataset_dicts: its images.
        ground_truth: its lesions.
        detections: all of them, before the suppression.
        settings: of the evaluation.
        result: of it.
        images: with their scores.
        breasts: likewise; None where images carry no patient or side.
    """

    dataset: str
    dataset_dicts: Sequence[dict[str, Any]]
    ground_truth: GroundTruth
    detections: Detections
    settings: EvaluationSettings
    result: FrocResult
    images: ScoredUnits
    breasts: ScoredUnits | None


@dataclass(frozen=True)
class Unevaluated:
    """A run whose detections cannot be evaluated here.

    Attributes:
        reason: one sentence, with what to do.
    """

    reason: str


def evaluate_runs(
    runs: Sequence[RunFiles], dataset: str | None, bootstrap: int | None
) -> list[EvaluatedRun | Unevaluated]:
    """Evaluate the detections of runs, as the runs did.

    Args:
        runs: their files.
        dataset: the data set that the detections are of; None takes what the configs name.
        bootstrap: resamples of the patients; None takes as many as the runs did.

    Raises:
        InputError: a file is broken, or contradicts the data set.
    """
    progress = with_progress(runs, "evaluating", "run", show_progress=len(runs) > 1)
    return [_evaluate(run, dataset, bootstrap) for run in progress]


def _evaluate(
    run: RunFiles, dataset: str | None, bootstrap: int | None
) -> EvaluatedRun | Unevaluated:
    name = dataset or run.dataset("dataloader.test")
    if run.detections is None:
        return Unevaluated(
            f"{run.path} has no detections of an evaluation: evaluate its weights with medmask "
            f"train --eval-only --config-file {run.path}/config.yaml "
            f"train.init_checkpoint={run.weights or 'FILE'} train.output_dir={run.path}"
        )
    if name is None:
        return Unevaluated(
            f"{run.path} has no config that names dataloader.test.dataset: name the data set of "
            "the detections with --dataset"
        )
    if dataset is None and name in run.ambiguous_datasets:
        return Unevaluated(
            f"{run.path} means other files by data set '{name}' than another run or the "
            "--config-file of this report: report on it by itself"
        )
    try:
        ground_truth = ground_truth_of(name)
    except InputError as error:
        if dataset is not None:
            raise
        return Unevaluated(str(error))
    detections = read_detections(run.detections, ground_truth)
    settings = run.evaluation_settings()
    if bootstrap is not None:
        settings = replace(settings, bootstrap=bootstrap)
    kept = suppress_overlaps(detections, settings.nms_iou)
    localizations = localize(ground_truth, kept, settings.iou_threshold, settings.hit_rule)
    images = score_images(ground_truth, kept.select(~localizations.ignored))
    return EvaluatedRun(
        dataset=name,
        dataset_dicts=DatasetCatalog.get(name),
        ground_truth=ground_truth,
        detections=detections,
        settings=settings,
        result=evaluate_detections(ground_truth, detections, settings),
        images=images,
        breasts=score_breasts(ground_truth, images),
    )
