"""Draw the detections of an evaluation (boxes with scores) over the lesions (dashed green).

An evaluation writes its detections as they are before the suppression of overlaps. Drawn are those
that are left after it, which its figures count (that of evaluations with their default settings).
"""

import argparse
from pathlib import Path
from typing import Any

from medmask.commands.dataset_config import add_dataset_config, register_datasets_of_config
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_output_folder
from medmask.errors import InputError
from medmask.utils.counts import counted

_EXAMPLES = """
examples:
  medmask visualize-results --dataset phantom_ffdm_val \\
      --detections output/demo/alignment/inference/froc_detections.json --output output/pictures

  Pages of the hits, misses and false positives at 0.5 false positives per image:
    medmask visualize-results --dataset phantom_ffdm_val --errors-at 0.5 --num-images 64 \\
        --detections output/demo/alignment/inference/froc_detections.json --output output/errors
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("--dataset", required=True, metavar="NAME", help="a registered data set")
    add_dataset_config(parser)
    parser.add_argument(
        "--detections", required=True, metavar="FILE", help="froc_detections.json of an evaluation"
    )
    add_output_folder(parser)
    parser.add_argument(
        "--num-images",
        type=int,
        default=20,
        metavar="N",
        help="images, or findings of each kind with --errors-at (default %(default)s)",
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--score-threshold", type=float, default=0.3, metavar="S", help="default %(default)s"
    )
    threshold.add_argument(
        "--operating-point",
        type=float,
        metavar="FPI",
        help="draw detections from the calibrated threshold on at which there are FPI false "
        "positives per image, after the calibration's suppression, with probabilities; needs "
        "--calibration",
    )
    threshold.add_argument(
        "--errors-at",
        type=float,
        metavar="FPI",
        help="draw a page each of hits, misses and false positives, instead of whole images, where "
        "there are FPI false positives per image",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="calibration.json of the weights that made the detections",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw the pictures."""
    if (args.operating_point is None) != (args.calibration is None):
        raise InputError("--operating-point and --calibration need each other")
    register_datasets_of_config(args.config_file)
    from medmask.calibration import read_calibration
    from medmask.evaluation.error_analysis import describe_kinds
    from medmask.inference import draw_error_sheets, draw_results

    if args.errors_at is not None:
        counts = draw_error_sheets(
            args.dataset,
            args.detections,
            args.output,
            fpi=args.errors_at,
            num_tiles=args.num_images,
        )
        print(f"{describe_kinds(counts)}: {args.output}")
        return
    as_counted: dict[str, Any] = {}
    if args.calibration is not None:
        stored = read_calibration(args.calibration)
        as_counted = {"calibration": stored.at(args.operating_point), "nms_iou": stored.nms_iou}
    count = draw_results(
        args.dataset,
        args.detections,
        args.output,
        num_images=args.num_images,
        score_threshold=args.score_threshold,
        **as_counted,
    )
    print(f"{counted(count, 'picture')}: {args.output}")


main = entry_point(make_parser, run)
