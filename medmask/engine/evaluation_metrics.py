"""The metrics that a run's evaluators will give, known before anything is evaluated."""

from collections.abc import Iterable, Sequence

from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator

from medmask.errors import InputError
from medmask.evaluation.detection_evaluator import DetectionEvaluator

COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


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


def _metrics_of(evaluator: DatasetEvaluator) -> Sequence[str] | None:
    if isinstance(evaluator, DetectionEvaluator):
        return evaluator.metric_names()
    if type(evaluator) is COCOEvaluator:
        # As COCOEvaluator._derive_coco_results; several classes get an AP each.
        classes = MetadataCatalog.get(evaluator._metadata.name).get("thing_classes") or []
        by_class = [f"AP-{name}" for name in classes] if len(classes) > 1 else []
        return [f"bbox/{name}" for name in (*COCO_METRICS, *by_class)]
    return None
