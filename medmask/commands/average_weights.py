"""Average the weights of a stage and of what it started from, or of several stages of one start."""

import argparse
import logging

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.output_files import check_output_files, check_that_files_differ
from medmask.errors import InputError
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)

_EXAMPLES = """
examples:
  A stage, and the detector that it went on from:
    medmask average-weights output/mias2inbreast/source_only/average_final.pth \\
        output/mias2inbreast/image_labels/average_final.pth --output averaged.pth
    medmask predict scans/ --checkpoint averaged.pth \\
        --config-file output/mias2inbreast/source_only/config.yaml

  With more of the stage:
    medmask average-weights first.pth stage.pth --shares 0.3 0.7 --output averaged.pth

What a stage learns of the images of one scanner, it may pay with what it knew of others; their
average gets that back, and gives up a part of what was learned: where a stage gains much, it loses.
Evaluate all three. It costs nothing when it detects. All files must be of one config, and
of trainings that began with the same weights: detectors of two seeds have nothing to average, fuse
what they detect instead (medmask fuse-detections). A calibration of one model does not fit.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("weights", nargs="+", metavar="WEIGHTS.pth", help="two files or more")
    parser.add_argument("--output", required=True, metavar="OUT.pth", help="file to write")
    parser.add_argument(
        "--shares",
        nargs="+",
        type=float,
        metavar="SHARE",
        help="one for each file, above 0; they are divided by their sum (default: equal ones)",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Read, average and write."""
    if not args.output.endswith(".pth"):
        raise InputError(f"--output {args.output} must end in .pth")
    advice = "name each model once, and give it more of the --shares"
    check_that_files_differ("WEIGHTS", args.weights, advice)
    check_output_files(
        {f"WEIGHTS {path}": path for path in args.weights}, {"--output": args.output}
    )
    from medmask import checkpoint
    from medmask.checkpoint.averaging import FAR

    models = {
        f"checkpoint {path}": checkpoint.find_state_dict(checkpoint.load_tensor_file(path), path)
        for path in args.weights
    }
    average = checkpoint.average_weights(models, args.shares)
    first, *others = models.values()
    for path, weights in zip(args.weights[1:], others, strict=True):
        distance = checkpoint.weight_distance(first, weights)
        print(f"{path}: at {distance:.3f} of the size of the weights from {args.weights[0]}")
        if distance > FAR:
            logger.warning(
                "%s and %s hardly come from one start, and what lies between them may detect "
                "nothing: evaluate it, or fuse their detections (medmask fuse-detections).",
                *(args.weights[0], path),
            )
    checkpoint.write_torch_file({"model": average}, args.output)
    print(f"{args.output}: the average of {counted(len(models), 'model')}")


main = entry_point(make_parser, run)
