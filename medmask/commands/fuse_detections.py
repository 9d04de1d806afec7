"""Fuse the detections of several models, or seeds, on the same images to those of one."""

import argparse

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.output_files import check_output_files, check_that_files_differ
from medmask.evaluation.settings import FUSION_IOU
from medmask.utils.counts import counted

_EXAMPLES = """
examples:
  Three seeds of one detector, and what they find together:
    medmask fuse-detections --annotations datasets/inbreast/annotations/instances_val.json \\
        --detections seed0/froc_detections.json seed1/froc_detections.json \\
        seed2/froc_detections.json --output fused.json
    medmask evaluate --annotations datasets/inbreast/annotations/instances_val.json \\
        --detections fused.json

  Of two models on images without annotations:
    medmask predict scans/ --checkpoint seed0/model_final.pth --output output/seed0
    medmask predict scans/ --checkpoint seed1/model_final.pth --output output/seed1
    medmask fuse-detections --output fused.json \\
        --detections output/seed0/detections.json output/seed1/detections.json

Boxes of one finding become their mean, weighted by score; its score is the mean over all models, of
which those that do not see it count as 0 (weighted box fusion). So all models must have looked at
the same images, which a file of detections does not tell. Scores must be comparable, as those of
seeds of one detector are. A calibration of one model does not fit fused scores.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--annotations",
        metavar="GT.json",
        help="a COCO file that lists the images and categories; its boxes do not matter (default: "
        "the detections tell them, if all have ids, those of all files alike, or all go by the "
        "same names)",
    )
    parser.add_argument(
        "--detections",
        required=True,
        nargs="+",
        metavar="DETS.json",
        help="one file of each model, as medmask predict and evaluations write them",
    )
    parser.add_argument("--output", required=True, metavar="OUT.json", help="file to write")
    parser.add_argument(
        "--iou",
        type=float,
        default=FUSION_IOU,
        help="boxes of two models that overlap more are of one finding (default %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Read, fuse and write."""
    from medmask import evaluation

    # a file that is given twice would count as a second model that agrees in all
    advice = "give one file of each model"
    check_that_files_differ("--detections", args.detections, advice)
    inputs = {f"--detections {path}": path for path in args.detections}
    check_output_files({"--annotations": args.annotations} | inputs, {"--output": args.output})
    if args.annotations is None:
        ground_truth = evaluation.read_implied_set(args.detections)
    else:
        ground_truth = evaluation.read_ground_truth(args.annotations)
    models = [evaluation.read_detections(path, ground_truth) for path in args.detections]
    fused = evaluation.fuse_detections(models, args.iou)
    evaluation.write_json(args.output, evaluation.detections_to_coco(ground_truth, fused))
    boxes = " + ".join(str(len(model)) for model in models)
    count = counted(len(models), "model")
    print(f"{args.output}: {boxes} boxes of {count} fused to {len(fused)}")


main = entry_point(make_parser, run)
