"""Evaluation of lesion detection: FROC analysis, image- and breast-level classification."""

from medmask.evaluation.average_precision import AveragePrecision, average_precision
from medmask.evaluation.average_precision_evaluator import AveragePrecisionEvaluator
from medmask.evaluation.detection_files import (
    detection_records,
    detections_to_coco,
    read_detections,
)
from medmask.evaluation.evaluate import evaluate_detections
from medmask.evaluation.froc import OPERATING_POINTS
from medmask.evaluation.froc_evaluator import FROCEvaluator
from medmask.evaluation.ground_truth import ground_truth_of, read_ground_truth
from medmask.evaluation.plot import plot_froc
from medmask.evaluation.report import format_table, result_to_json, write_json
from medmask.evaluation.results import EvaluationSettings, FrocResult
from medmask.evaluation.structures import Detections, GroundTruth

__all__ = [
    "OPERATING_POINTS",
    "AveragePrecision",
    "AveragePrecisionEvaluator",
    "Detections",
    "EvaluationSettings",
    "FROCEvaluator",
    "FrocResult",
    "GroundTruth",
    "average_precision",
    "detection_records",
    "detections_to_coco",
    "evaluate_detections",
    "format_table",
    "ground_truth_of",
    "plot_froc",
    "read_detections",
    "read_ground_truth",
    "result_to_json",
    "write_json",
]
