"""Command-line options that several commands have, and kinds of values that options take."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from medmask.evaluation.settings import EvaluationSettings

Options = argparse._ActionsContainer
"""A parser, or a group of its options."""


def add_output_folder(options: Options) -> None:
    """Add ``--output DIR``, which is required."""
    options.add_argument(
        "--output", required=True, type=folder, metavar="DIR", help="where to write"
    )


def add_score_threshold(options: Options, default: float, shown: str) -> None:
    """Add ``--score-threshold``.

    Args:
        options: to add to.
        default: of it.
        shown: what becomes of detections from it on, before its default is told.
    """
    options.add_argument(
        "--score-threshold",
        type=float,
        default=default,
        metavar="S",
        help=f"{shown} (default %(default)s)",
    )


def add_nms_iou(options: Options) -> None:
    """Add ``--nms-iou``."""
    options.add_argument(
        "--nms-iou",
        type=number_or_none,
        default=EvaluationSettings().nms_iou,
        metavar="IOU",
        help="drop boxes that overlap one of a higher score and the same class by more than this, "
        "or 'none' for all that the model gives out, after its own model.nms_iou (default "
        "%(default)s, as in the FROC analysis)",
    )


def add_device(options: Options) -> None:
    """Add ``--device``."""
    options.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu or cuda"
    )


def print_problems(problems: Iterable[str]) -> None:
    """Print sentences about single images, or the like, to stderr, one a line."""
    for problem in problems:
        line = problem.replace("\n", "\\n")  # file names may hold anything
        print(f"error: {line}", file=sys.stderr)


def number_or_none(text: str) -> float | None:
    """Read a number, or ``none``, which switches off what the option is about."""
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor 'none'") from None


def folder(text: str) -> Path:
    """Read the path of a folder; an empty one, such as of an unset variable, is a mistake."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)
