"""Training: the trainer, runs and what is around them; names are imported when first used."""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.engine.comparison import (
        load_comparison,
        read_results,
        run_comparison,
        write_tables,
    )
    from medmask.engine.evaluation import evaluate, evaluate_checkpoint
    from medmask.engine.launcher import launch
    from medmask.engine.run import train
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
    "read_results",
    "run_comparison",
    "set_up_run",
    "train",
    "write_tables",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "MedMaskTrainer": "medmask.engine.trainer",
        "RunMode": "medmask.engine.run_folder",
        "check_images": "medmask.engine.run_checks",
        "check_run": "medmask.engine.run_checks",
        "evaluate": "medmask.engine.evaluation",
        "evaluate_checkpoint": "medmask.engine.evaluation",
        "launch": "medmask.engine.launcher",
        "load_comparison": "medmask.engine.comparison",
        "open_run_folder": "medmask.engine.run_folder",
        "read_results": "medmask.engine.comparison",
        "run_comparison": "medmask.engine.comparison",
        "set_up_run": "medmask.engine.run_setup",
        "train": "medmask.engine.run",
        "write_tables": "medmask.engine.comparison",
    },
)
