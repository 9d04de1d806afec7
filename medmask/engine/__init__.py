"""Training, evaluation and inference runs."""

from medmask.engine.launch import launch
from medmask.engine.lazy_config import load_config
from medmask.engine.optimizer import build_parameter_groups
from medmask.engine.run_setup import set_up_run
from medmask.engine.trainer import MedMaskTrainer
from medmask.engine.training import evaluate, evaluate_checkpoint, train

__all__ = [
    "MedMaskTrainer",
    "build_parameter_groups",
    "evaluate",
    "evaluate_checkpoint",
    "launch",
    "load_config",
    "set_up_run",
    "train",
]
