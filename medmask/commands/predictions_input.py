"""Predictions as the input of a command: what predict wrote, or a list of detections."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.errors import InputError

if TYPE_CHECKING:
    from medmask.dicom_results import Predictions


def add_predictions(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that :func:`read_predictions_input` reads."""
    parser.add_argument(
        "predictions",
        type=Path,
        metavar="PREDICTIONS",
        help="the output folder of predict, or a JSON file of detections",
    )
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="with a JSON file: all images that were scored, also those without detections; files, "
        "folders or quoted patterns",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="with a JSON file: the weights; their hash identifies the results",
    )


def read_predictions_input(args: argparse.Namespace) -> "Predictions":
    """Read the predictions.

    Raises:
        InputError: arguments do not go together, or a file is missing or faulty.
    """
    if not args.predictions.exists():
        raise InputError(f"{args.predictions} does not exist: name the output folder of predict")
    is_folder = args.predictions.is_dir()
    if is_folder and (args.images or args.checkpoint):
        raise InputError(
            f"the folder {args.predictions} tells the images and the weights: leave out images and "
            "--checkpoint, or name a JSON file of detections"
        )
    if not is_folder and not (args.images and args.checkpoint):
        raise InputError(
            f"the file {args.predictions} tells neither all images nor the weights: give the "
            "images that were scored, and --checkpoint"
        )
    from medmask.dicom_results import read_detections_of_images, read_predictions

    if is_folder:
        return read_predictions(args.predictions)
    return read_detections_of_images(args.predictions, args.images, args.checkpoint)
