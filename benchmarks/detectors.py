#!/usr/bin/env python3
"""Train and test detectors on real mammograms: any set of methods, benchmarks, starts and seeds.

Methods: medmask; Detectron2's faster_rcnn and retinanet with the same backbone, samples and start;
yolo11n, a program of another environment (benchmarks/real_mammograms/yolo.py says how to make it);
the stages that go on from medmask, with their controls; and STAGE+start, the average of a stage's
weights and of those that it started from. Each training has cores of its own, and
lasts for the steps of its config. With --minutes all but stages are trained for the same minutes
instead, tests not counted; yolo11n needs them. They are those that the cores gave to the training;
yolo11n, which keeps its own time, counts wall-clock minutes, so nothing else should run beside it.

The data sets are those that medmask convert writes, under DETECTRON2_DATASETS. What is done is
found again: interrupted, the same command goes on with what is left. Each training leaves its
weights, training.json and, for each test, detections in COCO's result format.
"""

import argparse
import math
import shutil
from pathlib import Path

from options import positive
from real_mammograms.cells import (
    BENCHMARKS,
    IMAGENET,
    METHODS,
    NUM_FOLDS,
    STARTS,
    make_cells,
    with_starts,
)
from real_mammograms.runner import Settings, run_cells

from medmask.utils.command_line import command_line_tool

_EXAMPLES = """examples:
  Two trainings at a time, each on one core for 15 minutes, three seeds:
    python benchmarks/detectors.py --methods medmask faster_rcnn retinanet \\
        --benchmarks mias2inbreast --seeds 0 1 2 --minutes 15 --jobs 2

  Adaptation and its controls, from what was trained above:
    python benchmarks/detectors.py --methods control_strong teaching --benchmarks mias2inbreast

  The figures, once everything is decided:
    python benchmarks/detectors.py ... --tests heldout all
"""


def _minutes(text: str) -> float:
    """Parse a time above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes above 0")
    return value


def _file(text: str) -> str:
    """Find a file; processes elsewhere are told its whole path."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text} is no file")
    return str(Path(text).absolute())


def _program(text: str) -> str:
    """Find a program, in the search path too."""
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no program that can be run")
    return str(Path(found).absolute())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_choices(parser)
    parser.add_argument(
        "--minutes",
        type=_minutes,
        metavar="M",
        help="of each training but those of stages (default: the steps of its config)",
    )
    parser.add_argument(
        "--yolo",
        type=_program,
        metavar="FILE",
        help="program of an environment with ultralytics, such as yolo/bin/yolo",
    )
    parser.add_argument(
        "--yolo-weights", type=_file, metavar="FILE", help="it starts from (default: scratch)"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="trainings at the same time, which share the cores (default 1)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/detectors"),
        metavar="DIR",
        help="default %(default)s",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        dest="options",
        help="settings of the config for every training",
    )
    return parser


def _add_choices(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which cells are meant."""
    for name, choices, default in (
        ("methods", METHODS, "medmask"),
        ("benchmarks", BENCHMARKS, "mias2inbreast"),
        ("starts", STARTS, IMAGENET),
    ):
        parser.add_argument(
            f"--{name}",
            nargs="+",
            choices=choices,
            default=[default],
            metavar="NAME",
            help=f"of {', '.join(choices)} (default {default})",
        )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="S", help="default 0")
    parser.add_argument(
        "--folds",
        nargs="+",
        type=int,
        choices=range(NUM_FOLDS),
        default=list(range(NUM_FOLDS)),
        metavar="K",
        help="of benchmarks with folds (default all)",
    )
    parser.add_argument(
        "--label",
        choices=("lesion", "malignant"),
        default="lesion",
        help="the lesions to detect (default: any)",
    )
    parser.add_argument(
        "--tests",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of the benchmark (default its first, the one to develop by): "
        + "; ".join(f"{name}: {', '.join(each.tests)}" for name, each in BENCHMARKS.items()),
    )


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    what = (options.benchmarks, options.methods, options.starts, options.seeds)
    asked_for = make_cells(*what, options.label, options.folds)
    settings = Settings(
        output=options.output,
        tests=tuple(options.tests),
        minutes=options.minutes,
        options=tuple(options.options),
        jobs=options.jobs,
        yolo=options.yolo,
        yolo_weights=options.yolo_weights,
    )
    run_cells(with_starts(asked_for), asked_for, settings)


if __name__ == "__main__":
    main()
