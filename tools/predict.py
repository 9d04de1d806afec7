#!/usr/bin/env python3
"""Detect lesions in images: pictures with the detections drawn in, and a COCO-format JSON file.

Writes OUTPUT/overlays/*.png and OUTPUT/detections.json, a list of {image_id, file_name,
category_id, bbox: [x, y, width, height], score}. An image that cannot be read is reported and does
not stop the rest. Exit status: 0 if all went well, 1 if an image could not be read, 2 if nothing
could be done.
"""

import argparse
import sys
from pathlib import Path

from medmask.engine import MedMaskPredictor, find_images, predict_images
from medmask.errors import InputError, command_line_tool

DEFAULT_CHECKPOINT = "output/demo/expert/model_final.pth"

_EXAMPLES = """
examples:
  python tools/predict.py scan.dcm --output output/predictions
  python tools/predict.py images/ 'more/**/*.png' --output output/predictions \\
      --checkpoint output/inbreast/source_only/model_best.pth --score-threshold 0.5
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image files (PNG, JPEG, TIFF, DICOM), folders, or quoted patterns",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where to write")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=Path(DEFAULT_CHECKPOINT),
        metavar="FILE",
        help="the weights (default: what `make demo` trained, %(default)s)",
    )
    parser.add_argument(
        "--config-file",
        metavar="FILE",
        help="the LazyConfig of the weights (default: config.yaml beside them)",
    )
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=0.3,
        metavar="S",
        help="draw detections from this score on (default %(default)s); the JSON file holds all",
    )
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu or cuda"
    )
    return parser


@command_line_tool
def main() -> int:
    args = _parser().parse_args()
    if not args.checkpoint.is_file():
        raise InputError(
            f"checkpoint {args.checkpoint} does not exist: name one with --checkpoint, or train "
            "one with `make demo`"
        )
    paths = find_images(args.inputs)
    config_file = args.config_file or str(args.checkpoint.with_name("config.yaml"))
    predictor = MedMaskPredictor(
        config_file, str(args.checkpoint), overrides=[f"train.device={args.device}"]
    )
    problems = predict_images(predictor, paths, args.output, score_threshold=args.score_threshold)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(
        f"{len(paths) - len(problems)} of {len(paths)} images: {args.output / 'detections.json'}, "
        f"{args.output / 'overlays'}"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    main()
