"""Training, evaluation and inference runs."""

from medmask.engine.comparison import load_comparison, run_comparison, write_tables
from medmask.engine.launch import launch
from medmask.engine.run import evaluate, evaluate_checkpoint, train
from medmask.engine.run_checks import check_images, check_run
from medmask.engine.run_folder import RunMode, open_run_folder
from medmask.engine.run_setup import set_up_run
from medmask.engine.trainer import MedMaskTrainer

__all__ = [
    "MedMaskTrainer",
    "RunMode",
    "check_images",
    "check_run",
    "evaluate",
    "evaluate_checkpoint",
    "launch",
    "load_comparison",
    "open_run_folder",
    "run_comparison",
    "set_up_run",
    "train",
    "write_tables",
]
