"""FROC analysis of detections: lesion sensitivity per false positive, AUC, F1 and COCO AP."""

import argparse
from pathlib import Path

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_bootstrap, add_hit_iou, number_or_none
from medmask.commands.output_files import check_output_files, check_picture_name
from medmask.evaluation.settings import HIT_RULES, EvaluationSettings

_EXAMPLES = """
example:
  medmask evaluate --annotations datasets/inbreast/annotations/instances_val.json \\
      --detections output/inference/froc_detections.json --json froc.json --plot froc.png

Image records may carry patient_id (intervals resample patients) and laterality (breast-level
metrics). COCO AP is computed before the suppression, all else after it.
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = EvaluationSettings()
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--annotations", required=True, metavar="GT.json", help="ground truth, a COCO file"
    )
    parser.add_argument(
        "--detections",
        required=True,
        metavar="DETS.json",
        help="list of {image_id, file_name, category_id, category_name, bbox: [x, y, width, "
        "height], score}; images and categories are known by their ids, or else by their names",
    )
    parser.add_argument("--json", metavar="OUT.json", help="write everything that was computed")
    parser.add_argument("--plot", metavar="OUT.png", help="draw the curve with its 95%% band")
    parser.add_argument(
        "--nms-iou",
        type=number_or_none,
        default=defaults.nms_iou,
        metavar="IOU",
        help=f"non-maximum suppression, or 'none' (default {defaults.nms_iou})",
    )
    add_hit_iou(parser)
    parser.add_argument(
        "--hit-rule",
        choices=HIT_RULES,
        default=defaults.hit_rule,
        help="published_script, with --nms-iou none, is that of a public script, whose upper edge "
        "of a lesion is wrong: for comparison with published figures only (default %(default)s)",
    )
    add_bootstrap(parser)
    parser.add_argument(
        "--score",
        type=float,
        default=defaults.score,
        help=f"threshold for F1, sensitivity and specificity (default {defaults.score})",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=defaults.seed,
        help=f"of the resampling (default {defaults.seed})",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Evaluate, write what is asked for, and print the report."""
    from medmask import evaluation

    settings = EvaluationSettings(
        iou_threshold=args.iou,
        hit_rule=args.hit_rule,
        nms_iou=args.nms_iou,
        bootstrap=args.bootstrap,
        seed=args.seed,
        score=args.score,
    )
    check_output_files(
        {"--annotations": args.annotations, "--detections": args.detections},
        {"--json": args.json, "--plot": args.plot},
    )
    check_picture_name("--plot", args.plot)
    ground_truth = evaluation.read_ground_truth(args.annotations)
    detections = evaluation.read_detections(args.detections, ground_truth)
    result = evaluation.evaluate_detections(ground_truth, detections, settings)
    ap = evaluation.average_precision(ground_truth, detections)
    # The files first: who reads the report may stop early, as `head` does.
    if args.json:
        evaluation.write_json(args.json, evaluation.result_to_json(result, ap))
    if args.plot:
        evaluation.plot_froc([(Path(args.detections).stem, result)], args.plot)
    print(evaluation.format_table(result, ap))
    for sentence in result.warnings:
        print(f"\nnote: {sentence}")


main = entry_point(make_parser, run)
