"""Evaluation of lesion detection: FROC analysis, image- and breast-level classification."""

from .average_precision import AveragePrecision, average_precision
from .coco_files import read_detections, read_ground_truth
from .evaluate import evaluate_detections
from .froc import OPERATING_POINTS
from .froc_evaluator import FROCEvaluator
from .plot import plot_froc
from .report import format_table, result_to_json, write_json
from .results import EvaluationSettings, FrocResult
from .structures import Detections, GroundTruth

__all__ = [
    "OPERATING_POINTS",
    "AveragePrecision",
    "Detections",
    "EvaluationSettings",
    "FROCEvaluator",
    "FrocResult",
    "GroundTruth",
    "average_precision",
    "evaluate_detections",
    "format_table",
    "plot_froc",
    "read_detections",
    "read_ground_truth",
    "result_to_json",
    "write_json",
]
