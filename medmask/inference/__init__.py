"""Prediction on images, and pictures of the results."""

from medmask.inference.image_inputs import find_images
from medmask.inference.prediction_images import PredictionImage, images_of_dataset, images_of_files
from medmask.inference.prediction_run import PredictionOptions, PredictionSummary, predict_images
from medmask.inference.predictor import MedMaskPredictor
from medmask.inference.result_pictures import draw_results

__all__ = [
    "MedMaskPredictor",
    "PredictionImage",
    "PredictionOptions",
    "PredictionSummary",
    "draw_results",
    "find_images",
    "images_of_dataset",
    "images_of_files",
    "predict_images",
]
