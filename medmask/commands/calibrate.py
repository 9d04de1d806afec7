"""Calibrate a detector on a labeled set: scores to probabilities, thresholds at given FP/image.

Writes calibration.json beside the weights. The set should not be the one that the weights were
trained on, and lesions should be as common in it as where the detector is used. A detection lies on
a lesion by the rule of the FROC analysis. The quality of the probabilities is measured on patients
that they were not fitted to.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.calibration.settings import CALIBRATION, METHODS, RATES, CalibrationSettings
from medmask.commands.dataset_config import annotation_file_of, register_datasets_of_weights
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_bootstrap, add_device, add_hit_iou, number_or_none
from medmask.commands.output_files import check_output_files, check_picture_name
from medmask.commands.weights import add_config_file, load_weights
from medmask.errors import InputError
from medmask.evaluation.settings import EvaluationSettings

if TYPE_CHECKING:
    from medmask.evaluation import Detections, GroundTruth

_EXAMPLES = """
examples:
  The model is run on a registered set:
    medmask calibrate --checkpoint output/inbreast/source_only/model_best.pth \\
        --dataset inbreast_val --plot calibration.png

  With detections of these weights that were made before:
    medmask calibrate --checkpoint output/inbreast/source_only/model_best.pth \\
        --annotations datasets/inbreast/annotations/instances_val.json \\
        --detections output/inbreast/source_only/inference/froc_detections.json
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = CalibrationSettings()
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--checkpoint", required=True, type=Path, metavar="FILE", help="the weights to calibrate"
    )
    add_config_file(parser)
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--dataset", metavar="NAME", help="a registered set with labels")
    labels.add_argument(
        "--annotations",
        metavar="GT.json",
        help="instead of a registered set: a COCO file, which needs --detections",
    )
    parser.add_argument(
        "--detections",
        metavar="DETS.json",
        help="detections of these weights on the set in COCO's result format, such as "
        "froc_detections.json of an evaluation or detections.json of predictions (default: the "
        "model is run)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="OUT.json",
        help=f"where to write (default: {CALIBRATION} beside the weights)",
    )
    parser.add_argument("--plot", metavar="OUT.png", help="draw the reliability diagrams")
    parser.add_argument(
        "--fpi",
        type=float,
        nargs="+",
        default=list(RATES),
        metavar="F",
        help="false positives per image that get a threshold (default "
        f"{' '.join(f'{rate:g}' for rate in RATES)})",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=defaults.method,
        help="logistic has two parameters; isotonic follows any rising course, and needs some "
        "hundred lesions (default %(default)s)",
    )
    parser.add_argument(
        "--nms-iou",
        type=number_or_none,
        default=defaults.evaluation.nms_iou,
        metavar="IOU",
        help="non-maximum suppression, or 'none', as predictions will use it (default %(default)s)",
    )
    add_hit_iou(parser)
    add_bootstrap(parser)
    parser.add_argument(
        "--folds",
        type=int,
        default=defaults.folds,
        metavar="N",
        help="parts of the patients for the measured quality (default %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=defaults.evaluation.seed,
        help="of resampling and parts (default %(default)s)",
    )
    add_device(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Calibrate, write the files, and print the report."""
    from medmask import calibration
    from medmask.utils.json_files import write_json

    settings = CalibrationSettings(
        evaluation=EvaluationSettings(
            operating_points=tuple(args.fpi),
            iou_threshold=args.iou,
            nms_iou=args.nms_iou,
            bootstrap=args.bootstrap,
            seed=args.seed,
        ),
        method=args.method,
        folds=args.folds,
    )
    weights_sha256 = calibration.hash_weights_file(args.checkpoint)  # an empty name is none, too
    output = args.output or _beside(args.checkpoint)
    _check_arguments(args, output)  # makes the folders of what is written
    ground_truth = _read_ground_truth(args)
    detections, config = _find_detections(args, ground_truth)
    source = calibration.CalibrationSource(
        weights_file=args.checkpoint.name,
        weights_sha256=weights_sha256,
        config=config,
        data_name=args.dataset or Path(args.annotations).name,
        data_sha256=calibration.hash_ground_truth(ground_truth),
        detections_sha256=calibration.hash_detections(detections),
    )
    result = calibration.calibrate_scores(ground_truth, detections, source, settings)
    # The files first: who reads the report may stop early, as `head` does.
    write_json(output, calibration.calibration_to_json(result))
    if args.plot:
        calibration.plot_calibration(result, args.plot)
    print(calibration.format_calibration(result))
    for sentence in result.warnings:
        print(f"\nnote: {sentence}")
    print(f"\n{output}" + (f", {args.plot}" if args.plot else ""))


def _beside(checkpoint: Path) -> Path:
    """The file to write where none is named.

    Raises:
        InputError: it is the calibration of other weights, which are still there.
    """
    from medmask.calibration import read_calibration_report

    output = checkpoint.with_name(CALIBRATION)
    try:
        calibrated = read_calibration_report(output).source.weights_file
    except InputError:  # there is none that could be lost
        return output
    if calibrated != checkpoint.name and output.with_name(calibrated).exists():
        raise InputError(
            f"{output} is the calibration of {calibrated}: name another file with --output, and "
            "with --calibration when you predict"
        )
    return output


def _read_ground_truth(args: argparse.Namespace) -> "GroundTruth":
    from medmask import evaluation

    if args.dataset:
        register_datasets_of_weights(args)
        source = {f"--dataset {args.dataset}": annotation_file_of(args.dataset)}
        check_output_files(source, {"--output": args.output})
        ground_truth = evaluation.ground_truth_of(args.dataset)
    else:  # without loading PyTorch
        ground_truth = evaluation.read_ground_truth(args.annotations)
    if ground_truth.num_lesions == 0:  # before the model is run
        raise InputError(
            f"{args.dataset or args.annotations} has no lesion, so nothing tells which scores "
            "lesions get: calibrate on a labeled set with lesions"
        )
    return ground_truth


def _find_detections(
    args: argparse.Namespace, ground_truth: "GroundTruth"
) -> tuple["Detections", str | None]:
    """The detections, and the identity of the config where the model is run."""
    from medmask.evaluation import read_detections

    if args.detections:
        return read_detections(args.detections, ground_truth), None
    from medmask.inference import detect_in_dataset

    predictor = load_weights(args, nms_iou=None)  # the calibration suppresses
    detections = detect_in_dataset(predictor, args.dataset, ground_truth)
    return detections, predictor.settings()["config"]


def _check_arguments(args: argparse.Namespace, output: Path) -> None:
    """Find before the work what does not go together or could not be written after it."""
    if args.annotations and not args.detections:
        raise InputError(
            "--annotations needs --detections: the images of a file are known only to a "
            "registered set (--dataset NAME)"
        )
    check_output_files(
        {
            "--checkpoint": args.checkpoint,
            "--annotations": args.annotations,
            "--detections": args.detections,
        },
        {"--output": output, "--plot": args.plot},
    )
    check_picture_name("--plot", args.plot)


main = entry_point(make_parser, run)
