"""Prediction on images, and pictures of the results."""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.inference.dataset_detections import detect_in_dataset
    from medmask.inference.error_sheets import draw_error_sheets
    from medmask.inference.image_inputs import find_images
    from medmask.inference.options import PredictionOptions
    from medmask.inference.prediction_images import (
        PredictionImage,
        images_of_dataset,
        images_of_files,
    )
    from medmask.inference.prediction_run import PredictionSummary, predict_images
    from medmask.inference.predictor import MedMaskPredictor
    from medmask.inference.result_pictures import draw_results
    from medmask.inference.work_list import WorkList

__all__ = [
    "MedMaskPredictor",
    "PredictionImage",
    "PredictionOptions",
    "PredictionSummary",
    "WorkList",
    "detect_in_dataset",
    "draw_error_sheets",
    "draw_results",
    "find_images",
    "images_of_dataset",
    "images_of_files",
    "predict_images",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "MedMaskPredictor": "medmask.inference.predictor",
        "PredictionImage": "medmask.inference.prediction_images",
        "PredictionOptions": "medmask.inference.options",
        "PredictionSummary": "medmask.inference.prediction_run",
        "detect_in_dataset": "medmask.inference.dataset_detections",
        "WorkList": "medmask.inference.work_list",
        "draw_error_sheets": "medmask.inference.error_sheets",
        "draw_results": "medmask.inference.result_pictures",
        "find_images": "medmask.inference.image_inputs",
        "images_of_dataset": "medmask.inference.prediction_images",
        "images_of_files": "medmask.inference.prediction_images",
        "predict_images": "medmask.inference.prediction_run",
    },
)
