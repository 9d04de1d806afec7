"""Training, evaluation and inference runs."""

from medmask.engine.batchnorm_adaptation import adapt_batchnorm
from medmask.engine.benchmark import load_benchmark, run_benchmark
from medmask.engine.benchmark_table import write_tables
from medmask.engine.confidence_threshold import (
    ConfidenceRefinement,
    DynamicThreshold,
    FixedThreshold,
)
from medmask.engine.domain_adversarial_hook import DomainAdversarialHook
from medmask.engine.expert_distillation_hook import ExpertDistillationHook
from medmask.engine.image_inputs import find_images
from medmask.engine.launch import launch
from medmask.engine.lazy_config import load_config
from medmask.engine.learning_rate import StepSchedule
from medmask.engine.loss_hook import LossHook
from medmask.engine.mask_ratio import ConstantMaskRatio, CosineMaskRatio, LossDrivenMaskRatio
from medmask.engine.masked_autoencoder_hook import MaskedAutoencoderHook
from medmask.engine.optimizer import build_parameter_groups
from medmask.engine.prediction_images import (
    PredictionImage,
    images_of_dataset,
    images_of_files,
)
from medmask.engine.prediction_run import PredictionOptions, PredictionSummary, predict_images
from medmask.engine.predictor import MedMaskPredictor
from medmask.engine.result_pictures import draw_results
from medmask.engine.run_folder import RunMode, open_run_folder
from medmask.engine.run_setup import set_up_run
from medmask.engine.run_start import check_images, check_run
from medmask.engine.selective_retraining_hook import SelectiveRetrainingHook
from medmask.engine.teacher_hook import TeacherHook
from medmask.engine.trainer import MedMaskTrainer
from medmask.engine.training import evaluate, evaluate_checkpoint, train

__all__ = [
    "ConfidenceRefinement",
    "ConstantMaskRatio",
    "CosineMaskRatio",
    "DomainAdversarialHook",
    "DynamicThreshold",
    "ExpertDistillationHook",
    "FixedThreshold",
    "LossDrivenMaskRatio",
    "LossHook",
    "MaskedAutoencoderHook",
    "MedMaskPredictor",
    "MedMaskTrainer",
    "PredictionImage",
    "PredictionOptions",
    "PredictionSummary",
    "RunMode",
    "SelectiveRetrainingHook",
    "StepSchedule",
    "TeacherHook",
    "adapt_batchnorm",
    "build_parameter_groups",
    "check_images",
    "check_run",
    "draw_results",
    "evaluate",
    "evaluate_checkpoint",
    "find_images",
    "images_of_dataset",
    "images_of_files",
    "launch",
    "load_benchmark",
    "load_config",
    "open_run_folder",
    "predict_images",
    "run_benchmark",
    "set_up_run",
    "train",
    "write_tables",
]
