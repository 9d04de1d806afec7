"""Detect lesions in images: pictures with the detections drawn in, and a COCO-format JSON file.

Writes OUTPUT/overlays/*.png and OUTPUT/detections.json, a list of {image_id, file_name,
category_id, category_name, bbox: [x, y, width, height], score}, which evaluate takes.
Detections are those that an evaluation judges: after its non-maximum suppression.

Every image is kept in OUTPUT/predictions.jsonl as soon as it is finished. The same command goes on
where it was stopped. An image that fails is reported and does not stop the rest. For an archive,
give a manifest (a CSV or Parquet file with a column "path") and --shard I/N to each of N processes;
--merge writes the results of all of them. Exit status: 0 if all went well, 1 if an image failed, 2
if the run could not start or go on.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from medmask.calibration.settings import UNCALIBRATED
from medmask.commands.archive_options import add_archive_options, choose_workers
from medmask.commands.dataset_config import register_datasets_of_detector
from medmask.commands.engine_options import add_engine_options, open_engine
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.operating_point import (
    add_operating_point_options,
    apply_calibration,
    read_operating_point,
)
from medmask.commands.options import add_device, add_nms_iou, add_output_folder, print_problems
from medmask.commands.weights import add_detector_options, check_detector, load_detector
from medmask.errors import InputError
from medmask.inference.options import OVERLAYS, PredictionOptions, result_files
from medmask.utils.counts import counted
from medmask.utils.openmp import usable_cores

if TYPE_CHECKING:
    from medmask.inference import PredictionImage, PredictionSummary

_EXAMPLES = """
examples:
  medmask predict scan.dcm --output output/predictions
  medmask predict images/ 'more/**/*.png' --output output/predictions \\
      --checkpoint output/inbreast/source_only/model_best.pth --score-threshold 0.5
  medmask predict --dataset inbreast_test --no-overlays --output output/predictions \\
      --checkpoint output/inbreast/source_only/model_best.pth
  medmask predict scans/ --operating-point 0.3 --output output/predictions \\
      --checkpoint output/inbreast/source_only/model_best.pth
  medmask predict images/ --model model.onnx --output output/predictions
  medmask predict archive.csv --shard 3/8 --no-overlays --workers 4 --output output/archive
  medmask predict archive.csv --engine ray --no-overlays --output output/archive
  medmask predict --merge --formats json csv parquet --output output/archive
"""

_MERGE_OPTIONS = ("merge", "output", "formats", "is_tool")


def make_parser() -> argparse.ArgumentParser:
    defaults = PredictionOptions()
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="image files (PNG, JPEG, TIFF, DICOM), folders, quoted patterns, or manifests (CSV or "
        "Parquet with the column path)",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="instead of inputs: the images of a registered data set, with its ids and names; "
        "one of your own is known by the config of the weights, with --model by --config-file",
    )
    parser.add_argument(
        "--frame",
        type=_frame,
        metavar="N",
        help="of files that hold several images: which to take, counted from 0, or 'all' for each "
        "as an image of its own; FILE#N as an input names one, too",
    )
    add_output_folder(parser)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace other predictions in DIR, instead of going on with them",
    )
    add_detector_options(parser)
    add_nms_iou(parser)
    add_operating_point_options(
        parser,
        score_threshold=defaults.score_threshold,
        shown="draw detections from this score on; the JSON file holds all",
    )
    parser.add_argument(
        "--mirrored",
        action="store_true",
        help="detect in the mirror images; boxes are those of the images as they are, for "
        "export-annotations to compare with",
    )
    parser.add_argument(
        "--no-overlays", action="store_true", help="draw no pictures, which saves time and space"
    )
    add_device(parser)
    group = parser.add_argument_group("many images")
    add_archive_options(group)
    add_engine_options(group)
    return parser


def _frame(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor 'all'") from None


def run(args: argparse.Namespace) -> int:
    """Detect in all images; the status is 0 if all went well."""
    if args.merge:
        return _merge(args)
    options = PredictionOptions(
        args.score_threshold,
        overlays=not args.no_overlays,
        shard=args.shard,
        workers=args.workers or 0,
        batch_size=args.batch_size,
        formats=tuple(args.formats),
    )
    if bool(args.inputs) == bool(args.dataset):
        raise InputError("give either images, folders or patterns, or --dataset NAME")
    if args.shard.count > 1 and options.formats != PredictionOptions().formats:
        raise InputError("--formats goes with --merge: a shard writes its part of the record alone")
    if args.dataset and args.frame is not None:
        raise InputError("--frame is for files: a data set has each image once")
    check_detector(args)
    stored = read_operating_point(args)
    from medmask.inference import predict_images
    from medmask.inference.class_labels import dataset_labels
    from medmask.inference.mirroring import MirroringDetector
    from medmask.inference.prediction_engine import PredictionEngine

    images, problems = _find_images(args)
    with open_engine(args, load_detector) as predictor:
        if args.workers is None:
            is_on_gpu = predictor.settings()["device"] != "cpu"
            workers = choose_workers(images, cores=usable_cores(), is_on_gpu=is_on_gpu)
            options = replace(options, workers=workers)
        calibration = apply_calibration(stored, args, predictor)
        summary = predict_images(
            predictor
            if isinstance(predictor, PredictionEngine) or not args.mirrored
            else MirroringDetector(predictor),
            images,
            args.output,
            options=options,
            labels=dataset_labels(args.dataset) if args.dataset else None,
            calibration=calibration,
            overwrite=args.overwrite,
        )
    print_problems([*problems, *summary.problems])
    _print_summary(args, options, summary, len(problems))
    print(UNCALIBRATED if calibration is None else calibration.describe())
    return 1 if summary.problems or problems else 0


def _find_images(args: argparse.Namespace) -> "tuple[Iterable[PredictionImage], list[str]]":
    """The images of a command line, and a sentence for each input that cannot be looked at."""
    from medmask.inference import WorkList, images_of_dataset

    if args.dataset:
        register_datasets_of_detector(args)
        return images_of_dataset(args.dataset), []
    found = WorkList(args.inputs, args.frame)
    if found.passed_over:
        note = f"passed over {counted(found.passed_over, 'picture')} that predict drew"
        print(f"note: {note}", file=sys.stderr)
    return found, found.problems


def _print_summary(
    args: argparse.Namespace,
    options: PredictionOptions,
    summary: "PredictionSummary",
    left_out: int,
) -> None:
    """Print how many images came to which end, and what was written."""
    is_whole = options.shard.count == 1
    written = result_files(options.formats) if is_whole else [options.shard.file_name]
    written += [] if args.no_overlays else [OVERLAYS]
    print(
        f"{summary.images - len(summary.problems)} of {counted(summary.images, 'image')} "
        f"({summary.done_before} "
        f"done before, {summary.statuses['failed']} failed, {summary.statuses['refused']} refused, "
        f"{left_out} left out): " + ", ".join(str(args.output / name) for name in written)
    )


def _merge(args: argparse.Namespace) -> int:
    """Write the results of all shards; the status is 0 if all images are done."""
    default = make_parser().get_default
    others = [
        "images" if name == "inputs" else f"--{name.replace('_', '-')}"
        for name, value in vars(args).items()
        if name not in _MERGE_OPTIONS and value not in (default(name), [])
    ]
    if others:
        raise InputError(f"--merge takes --output and --formats: leave out {', '.join(others)}")
    from medmask.inference.merging import merge_predictions

    summary = merge_predictions(args.output, args.formats)
    print_problems(summary.problems)
    total = sum(summary.images.values())
    print(
        f"{summary.images['done']} of {counted(total, 'image')} ({summary.images['failed']} "
        f"failed, {summary.images['refused']} refused): {args.output}"
    )
    if not summary.is_calibrated:
        print(UNCALIBRATED)
    return 1 if summary.problems else 0


main = entry_point(make_parser, run)
