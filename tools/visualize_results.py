#!/usr/bin/env python3
"""Draw the detections of an evaluation (boxes with scores) over the lesions (dashed green)."""

import argparse
from pathlib import Path

from medmask.errors import command_line_tool
from medmask.inference import draw_results

_EXAMPLE = """
example:
  python tools/visualize_results.py --dataset phantom_ffdm_val \\
      --detections output/demo/expert/inference/froc_detections.json --output output/pictures
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="a registered data set")
    parser.add_argument(
        "--detections", required=True, metavar="FILE", help="froc_detections.json of an evaluation"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where to write")
    parser.add_argument(
        "--num-images", type=int, default=20, metavar="N", help="default %(default)s"
    )
    parser.add_argument(
        "--score-threshold", type=float, default=0.3, metavar="S", help="default %(default)s"
    )
    return parser


@command_line_tool
def main() -> None:
    args = _parser().parse_args()
    draw_results(
        args.dataset,
        args.detections,
        args.output,
        num_images=args.num_images,
        score_threshold=args.score_threshold,
    )


if __name__ == "__main__":
    main()
