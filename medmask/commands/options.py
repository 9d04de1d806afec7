"""Command-line options that several commands have, and kinds of values that options take."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from medmask.errors import InputError
from medmask.evaluation.settings import EvaluationSettings

Options = argparse._ActionsContainer
"""A parser, or a group of its options."""

Value = TypeVar("Value")


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


def add_num_gpus(options: Options) -> None:
    """Add ``--num-gpus``."""
    options.add_argument(
        "--num-gpus",
        type=int,
        default=1,
        metavar="N",
        help="processes on this machine, one per GPU (on the CPU if it has none); 0: one "
        "process on the CPU",
    )


def add_hit_iou(options: Options) -> None:
    """Add ``--iou``, the other rule of what a hit is."""
    options.add_argument(
        "--iou",
        type=float,
        metavar="IOU",
        help="a hit needs this IoU (default: the detection's center lies in the lesion's box)",
    )


def add_bootstrap(options: Options) -> None:
    """Add ``--bootstrap``."""
    options.add_argument(
        "--bootstrap",
        type=int,
        default=EvaluationSettings().bootstrap,
        metavar="N",
        help="resamples for the 95%% intervals, 0 for none (default %(default)s)",
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


def parsed_by(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """Make an option's type of a function that raises InputError."""

    def read(text: str) -> Value:
        try:
            return parse(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def folder(text: str) -> Path:
    """Read the path of a folder; an empty one, such as of an unset variable, is a mistake."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)
