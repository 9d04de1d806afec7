"""The options of commands that apply a calibration of the weights they run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.calibration.settings import CALIBRATION
from medmask.commands.options import Options, add_score_threshold
from medmask.errors import InputError

if TYPE_CHECKING:
    from medmask.calibration import AppliedCalibration, StoredCalibration
    from medmask.inference.image_predictor import ImagePredictor
    from medmask.inference.ray_engine import RayEngine


def add_operating_point_options(options: Options, *, score_threshold: float, shown: str) -> None:
    """Add ``--score-threshold``, and ``--operating-point`` and ``--calibration`` in its place.

    Args:
        options: to add to.
        score_threshold: the default.
        shown: as for :func:`add_score_threshold`.
    """
    threshold = options.add_mutually_exclusive_group()
    add_score_threshold(threshold, score_threshold, shown)
    threshold.add_argument(
        "--operating-point",
        type=float,
        metavar="FPI",
        help="take detections from the threshold on at which `medmask calibrate` counted FPI false "
        "positives per image, instead of --score-threshold, and write probabilities",
    )
    options.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help=f"of these weights, for --operating-point (default: {CALIBRATION} beside them)",
    )


def read_operating_point(args: argparse.Namespace) -> "StoredCalibration | None":
    """Read the calibration of an operating point before the model is loaded.

    Args:
        args: with ``operating_point``, ``calibration``, ``model`` and ``checkpoint``; a calibration
            is looked for beside the file of the model.

    Returns:
        What has a threshold at the operating point; None where none is asked for.

    Raises:
        InputError: the calibration is missing or damaged, or has no such threshold.
    """
    if args.operating_point is None:
        if args.calibration is not None:
            raise InputError("--calibration needs --operating-point, such as 0.3")
        return None
    from medmask.calibration import read_calibration

    model: Path = args.model or args.checkpoint
    stored = read_calibration(args.calibration or model.with_name(CALIBRATION))
    stored.at(args.operating_point)
    return stored


def apply_calibration(
    stored: "StoredCalibration | None",
    args: argparse.Namespace,
    predictor: "ImagePredictor | RayEngine",
) -> "AppliedCalibration | None":
    """Take the calibration at the operating point of the command line.

    Args:
        stored: what :func:`read_operating_point` gave.
        args: with ``operating_point``.
        predictor: whose scores it is to be applied to.

    Returns:
        None where no operating point is asked for.

    Raises:
        InputError: it is of another model than the predictor.
    """
    if stored is None:
        return None
    stored.check_fits(
        predictor.weights_sha256,
        config=predictor.settings()["config"],
        nms_iou=predictor.nms_iou,
    )
    return stored.at(args.operating_point)
