"""Evaluation of lesion detection: FROC analysis, image- and breast-level classification.

What evaluates files needs numpy alone. The evaluators of Detectron2's evaluation loop load it, and
PyTorch, when they are first used.
"""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.evaluation.average_precision_evaluator import AveragePrecisionEvaluator
    from medmask.evaluation.coco_average_precision import AveragePrecision, average_precision
    from medmask.evaluation.dataset_ground_truth import ground_truth_of
    from medmask.evaluation.detection_files import (
        detections_to_coco,
        read_detections,
    )
    from medmask.evaluation.evaluate import evaluate_detections
    from medmask.evaluation.froc_evaluator import FROCEvaluator
    from medmask.evaluation.fusion import fuse_detections
    from medmask.evaluation.ground_truth import read_ground_truth
    from medmask.evaluation.implied_sets import read_implied_set
    from medmask.evaluation.plot import plot_froc
    from medmask.evaluation.related_views import RelatedViews, find_related_views
    from medmask.evaluation.report import format_table, result_to_json
    from medmask.evaluation.results import FrocResult
    from medmask.evaluation.settings import OPERATING_POINTS, EvaluationSettings, ViewSettings
    from medmask.evaluation.structures import Detections, GroundTruth
    from medmask.evaluation.view_combination import combine_views
    from medmask.utils.json_files import write_json

__all__ = [
    "OPERATING_POINTS",
    "AveragePrecision",
    "AveragePrecisionEvaluator",
    "Detections",
    "EvaluationSettings",
    "FROCEvaluator",
    "FrocResult",
    "GroundTruth",
    "RelatedViews",
    "ViewSettings",
    "average_precision",
    "combine_views",
    "detections_to_coco",
    "evaluate_detections",
    "find_related_views",
    "format_table",
    "fuse_detections",
    "ground_truth_of",
    "plot_froc",
    "read_detections",
    "read_ground_truth",
    "read_implied_set",
    "result_to_json",
    "write_json",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "OPERATING_POINTS": "medmask.evaluation.settings",
        "AveragePrecision": "medmask.evaluation.coco_average_precision",
        "AveragePrecisionEvaluator": "medmask.evaluation.average_precision_evaluator",
        "Detections": "medmask.evaluation.structures",
        "EvaluationSettings": "medmask.evaluation.settings",
        "FROCEvaluator": "medmask.evaluation.froc_evaluator",
        "FrocResult": "medmask.evaluation.results",
        "GroundTruth": "medmask.evaluation.structures",
        "RelatedViews": "medmask.evaluation.related_views",
        "ViewSettings": "medmask.evaluation.settings",
        "average_precision": "medmask.evaluation.coco_average_precision",
        "combine_views": "medmask.evaluation.view_combination",
        "detections_to_coco": "medmask.evaluation.detection_files",
        "evaluate_detections": "medmask.evaluation.evaluate",
        "find_related_views": "medmask.evaluation.related_views",
        "format_table": "medmask.evaluation.report",
        "fuse_detections": "medmask.evaluation.fusion",
        "ground_truth_of": "medmask.evaluation.dataset_ground_truth",
        "plot_froc": "medmask.evaluation.plot",
        "read_detections": "medmask.evaluation.detection_files",
        "read_ground_truth": "medmask.evaluation.ground_truth",
        "read_implied_set": "medmask.evaluation.implied_sets",
        "result_to_json": "medmask.evaluation.report",
        "write_json": "medmask.utils.json_files",
    },
)
