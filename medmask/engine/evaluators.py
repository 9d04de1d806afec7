"""The evaluators of a run, and the metrics that they will give, known before they are run."""

from collections.abc import Iterable, Sequence

from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator
from omegaconf import DictConfig, ListConfig

from medmask.config.building import build
from medmask.errors import InputError
from medmask.evaluation.average_precision_evaluator import coco_metric_names
from medmask.evaluation.detection_evaluator import DetectionEvaluator
from medmask.utils.json_files import show

_NEEDED_BY_COCO = {
    "id": bool,
    "area": lambda value: type(value) in (int, float) and value >= 0,
    "iscrowd": lambda value: type(value) in (int, bool) and value in (0, 1),
}
"""Conditions that the fields of an annotation must meet."""


def build_evaluators(config: DictConfig) -> list[DatasetEvaluator]:
    """Build the evaluators of a run, which load their data sets."""
    key = "dataloader.evaluator"
    if isinstance(config.dataloader.evaluator, ListConfig):
        keys = [f"{key}.{i}" for i in range(len(config.dataloader.evaluator))]
        return [build(config, each, DatasetEvaluator) for each in keys]
    return [build(config, key, DatasetEvaluator)]


def check_best_metric(name: str, evaluators: Iterable[DatasetEvaluator]) -> None:
    """Check that ``train.best_metric`` will be among the results.

    Args:
        name: the metric.
        evaluators: of the run. Those of a kind that is not known here may give any metric.

    Raises:
        InputError: it will not; lists what there will be.
    """
    known: list[str] = []
    for evaluator in evaluators:
        metrics = _metrics_of(evaluator)
        if metrics is None:
            return
        known += metrics
    if name not in known:
        raise InputError(
            f"train.best_metric is {name!r}, which the evaluation does not give; choose one of "
            f"{', '.join(known)}"
        )


def check_result_names(evaluators: Iterable[DatasetEvaluator]) -> None:
    """Check that no two evaluators give results of one name, at which the evaluation would fail.

    Args:
        evaluators: of the run. What those of a kind that is not known here give is not known.

    Raises:
        InputError: two do.
    """
    given_by: dict[str, str] = {}
    for evaluator in evaluators:
        kind = type(evaluator).__name__
        for group in {name.partition("/")[0] for name in _metrics_of(evaluator) or ()}:
            if group in given_by:
                raise InputError(
                    f"dataloader.evaluator holds {given_by[group]} and {kind}, which both give "
                    f"results named {group}/...: leave one out"
                )
            given_by[group] = kind


def check_annotations(evaluators: Iterable[DatasetEvaluator]) -> None:
    """Check that Detectron2's ``COCOEvaluator`` can use its annotation file.

    It reads the file by itself, needs fields that the loader does not, and takes the id 0 for "not
    matched".

    Raises:
        InputError: it cannot, and would fail at the first evaluation or lose a lesion.
    """
    for evaluator in evaluators:
        if type(evaluator) is not COCOEvaluator:
            continue
        for annotation in evaluator._coco_api.dataset.get("annotations", []):
            for field, is_usable in _NEEDED_BY_COCO.items():
                if not is_usable(annotation.get(field)):
                    raise InputError(
                        f"dataloader.evaluator: Detectron2's COCOEvaluator cannot use the {field} "
                        f"{show(annotation.get(field))} of an annotation of "
                        f"{evaluator._metadata.name}; take "
                        "medmask.evaluation.AveragePrecisionEvaluator, which gives the same figures"
                    )


def _metrics_of(evaluator: DatasetEvaluator) -> Sequence[str] | None:
    if isinstance(evaluator, DetectionEvaluator):
        return evaluator.metric_names()
    if type(evaluator) is COCOEvaluator:
        # as COCOEvaluator._derive_coco_results
        metadata = MetadataCatalog.get(evaluator._metadata.name)
        return coco_metric_names(metadata.get("thing_classes") or [])
    return None
