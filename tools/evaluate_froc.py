#!/usr/bin/env python3
"""FROC analysis of detections: lesion sensitivity per false positive, AUC, F1 and COCO AP."""

import argparse
import os
from pathlib import Path

from medmask.errors import InputError, command_line_tool
from medmask.evaluation import (
    EvaluationSettings,
    average_precision,
    evaluate_detections,
    format_table,
    plot_froc,
    read_detections,
    read_ground_truth,
    result_to_json,
    write_json,
)
from medmask.utils.command_line import number_or_none
from medmask.utils.files import check_output_file

_EXAMPLE = """
example:
  python tools/evaluate_froc.py --annotations datasets/inbreast/annotations/instances_val.json \\
      --detections output/inference/froc_detections.json --json froc.json --plot froc.png

Image records may carry patient_id (intervals resample patients) and laterality (breast-level
metrics). COCO AP is computed before the suppression, all else after it.
"""


def _parser() -> argparse.ArgumentParser:
    defaults = EvaluationSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    parser.add_argument(
        "--iou",
        type=float,
        metavar="IOU",
        help="a hit needs this IoU (default: the detection's centre lies in the lesion's box)",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=defaults.bootstrap,
        metavar="N",
        help=f"resamples for the 95%% intervals, 0 for none (default {defaults.bootstrap})",
    )
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


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Find before the work what could not be written after it, or would overwrite a file in use."""
    in_use = {
        os.path.realpath(arguments.annotations): "--annotations",
        os.path.realpath(arguments.detections): "--detections",
    }
    for option, path in (("--json", arguments.json), ("--plot", arguments.plot)):
        if not path:
            continue
        other = in_use.setdefault(os.path.realpath(path), option)
        if other != option:
            raise InputError(f"{option} and {other} are both {path}: choose another file")
        check_output_file(path)


@command_line_tool
def main() -> None:
    arguments = _parser().parse_args()
    settings = EvaluationSettings(
        iou_threshold=arguments.iou,
        nms_iou=arguments.nms_iou,
        bootstrap=arguments.bootstrap,
        seed=arguments.seed,
        score=arguments.score,
    )
    _check_outputs(arguments)
    ground_truth = read_ground_truth(arguments.annotations)
    detections = read_detections(arguments.detections, ground_truth)
    result = evaluate_detections(ground_truth, detections, settings)
    ap = average_precision(ground_truth, detections)
    print(format_table(result, ap))
    for sentence in result.warnings:
        print(f"\nnote: {sentence}")
    if arguments.json:
        write_json(arguments.json, result_to_json(result, ap))
    if arguments.plot:
        plot_froc([(Path(arguments.detections).stem, result)], arguments.plot)


if __name__ == "__main__":
    main()
