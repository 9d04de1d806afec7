"""The options that say which weights a command detects with, and loading them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.commands.options import Options
from medmask.errors import InputError

if TYPE_CHECKING:
    from medmask.inference import MedMaskPredictor

DEMO_CHECKPOINT = Path("output/demo/expert/model_final.pth")


def add_checkpoint(options: Options) -> None:
    """Add ``--checkpoint``, by default that of the demo."""
    options.add_argument(
        "--checkpoint",
        type=Path,
        default=DEMO_CHECKPOINT,
        metavar="FILE",
        help="the weights (default: what `make demo` trained, %(default)s)",
    )


def add_config_file(options: Options) -> None:
    """Add ``--config-file``, by default that beside the weights."""
    options.add_argument(
        "--config-file",
        metavar="FILE",
        help="the LazyConfig of the weights (default: config.yaml beside them)",
    )


def check_checkpoint(checkpoint: Path) -> None:
    """Refuse, before anything is loaded, weights that are not there.

    Raises:
        InputError: there is no such file.
    """
    if not checkpoint.is_file():
        raise InputError(
            f"checkpoint {checkpoint} does not exist: name one with --checkpoint, or train one "
            "with `make demo`"
        )


def load_weights(args: argparse.Namespace, nms_iou: float | None) -> "MedMaskPredictor":
    """Load the detector of a command line.

    Args:
        args: with ``checkpoint``, ``config_file`` and ``device``.
        nms_iou: as for :class:`medmask.inference.MedMaskPredictor`.

    Raises:
        InputError: a file is missing or faulty, or the weights do not fit the config.
    """
    import torch

    from medmask.inference import MedMaskPredictor
    from medmask.utils.openmp import choose_num_threads

    torch.set_num_threads(choose_num_threads(torch.get_num_threads()))
    return MedMaskPredictor(
        args.config_file or str(args.checkpoint.with_name("config.yaml")),
        str(args.checkpoint),
        overrides=[f"train.device={args.device}"],
        nms_iou=nms_iou,
    )
