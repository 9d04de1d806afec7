"""The options that say which checkpoint or exported file a command detects with, and loading it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.commands.options import Options
from medmask.errors import InputError

if TYPE_CHECKING:
    from medmask.inference import MedMaskPredictor
    from medmask.inference.image_predictor import ImagePredictor

DEMO_CHECKPOINT = Path("output/demo/alignment/model_final.pth")


def add_detector_options(options: Options, *, demo: bool = True) -> None:
    """Add ``--checkpoint``, ``--model`` in its place, and ``--config-file``.

    Args:
        options: to add to.
        demo: whether the weights of the demo are taken where none are named; else one of the first
            two is required.
    """
    either = options.add_mutually_exclusive_group(required=not demo)
    either.add_argument(
        "--checkpoint",
        type=Path,
        default=DEMO_CHECKPOINT if demo else None,
        metavar="FILE",
        help="the weights" + (" (default: what `make demo` trained, %(default)s)" if demo else ""),
    )
    either.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="instead of a checkpoint: a file of `medmask export`, which runs on the CPU by "
        "onnxruntime",
    )
    add_config_file(options)


def add_config_file(options: Options) -> None:
    """Add ``--config-file``, by default that beside the weights."""
    options.add_argument(
        "--config-file",
        metavar="FILE",
        help="the LazyConfig of the weights (default: config.yaml beside them)",
    )


def check_detector(args: argparse.Namespace) -> None:
    """Refuse, before anything is loaded, a detector that cannot be.

    Args:
        args: with ``checkpoint``, ``model``, ``config_file`` and ``device``, and ``dataset`` where
            the command has it.

    Raises:
        InputError: there is no such file, or the options do not go together.
    """
    if args.model is None:
        if not args.checkpoint.is_file():
            raise InputError(
                f"checkpoint {args.checkpoint} does not exist: name one with --checkpoint, or "
                "train one with `make demo`"
            )
        return
    if args.config_file is not None and not getattr(args, "dataset", None):
        raise InputError(
            "--model needs no --config-file without --dataset: the file has its own preprocessing"
        )
    if args.device not in ("auto", "cpu"):
        raise InputError(f"--model runs on the CPU: leave out --device {args.device}")
    if not args.model.is_file():
        raise InputError(f"model {args.model} does not exist, or is no file")


def load_detector(args: argparse.Namespace) -> "ImagePredictor":
    """Load the detector of a command line.

    Args:
        args: with ``checkpoint``, ``model``, ``config_file``, ``device`` and ``nms_iou``.

    Raises:
        InputError: a file is missing or faulty, or the weights do not fit the config.
    """
    if args.model is None:
        return load_weights(args, args.nms_iou)
    from medmask.export import OnnxPredictor

    return OnnxPredictor(args.model, nms_iou=args.nms_iou)


def load_weights(args: argparse.Namespace, nms_iou: float | None) -> "MedMaskPredictor":
    """Load the checkpoint of a command line.

    Args:
        args: with ``checkpoint``, ``config_file`` and ``device``.
        nms_iou: as for :class:`medmask.inference.MedMaskPredictor`.

    Raises:
        InputError: a file is missing or faulty, or the weights do not fit the config.
    """
    import torch

    from medmask.engine.device import select_device
    from medmask.inference import MedMaskPredictor
    from medmask.utils.openmp import choose_num_threads

    select_device(args.device, "--device")
    torch.set_num_threads(choose_num_threads(torch.get_num_threads()))
    return MedMaskPredictor(
        args.config_file or str(args.checkpoint.with_name("config.yaml")),
        str(args.checkpoint),
        overrides=[f"train.device={args.device}"],
        nms_iou=nms_iou,
    )
