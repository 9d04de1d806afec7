"""Detect lesions in images: pictures with the detections drawn in, and a COCO-format JSON file.

Writes OUTPUT/overlays/*.png and OUTPUT/detections.json, a list of {image_id, file_name,
category_id, category_name, bbox: [x, y, width, height], score}, which evaluate_froc.py takes.
Detections are those that an evaluation judges: after its non-maximum suppression.

Every image is predicted on by itself, and kept in OUTPUT/predictions.jsonl as soon as it is
finished. The same command goes on where it was stopped. An image that fails is reported and does
not stop the rest. Exit status: 0 if all went well, 1 if an image failed, 2 if the run could not
start or go on.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import folder, number_or_none
from medmask.errors import InputError
from medmask.evaluation.settings import EvaluationSettings
from medmask.inference.options import DETECTIONS, JOURNAL, OVERLAYS, PredictionOptions

if TYPE_CHECKING:
    from medmask.inference import PredictionImage

DEFAULT_CHECKPOINT = "output/demo/expert/model_final.pth"

_EXAMPLES = """
examples:
  medmask predict scan.dcm --output output/predictions
  medmask predict images/ 'more/**/*.png' --output output/predictions \\
      --checkpoint output/inbreast/source_only/model_best.pth --score-threshold 0.5
  medmask predict --dataset inbreast_test --no-overlays --output output/predictions \\
      --checkpoint output/inbreast/source_only/model_best.pth
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = PredictionOptions()
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="image files (PNG, JPEG, TIFF, DICOM), folders, or quoted patterns",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="instead of inputs: the images of a registered data set, with its ids and names",
    )
    parser.add_argument(
        "--frame",
        type=_frame,
        metavar="N",
        help="of files that hold several images: which to take, counted from 0, or 'all' for each "
        "as an image of its own; FILE#N as an input names one, too",
    )
    parser.add_argument(
        "--output", required=True, type=folder, metavar="DIR", help="where to write"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace other predictions in DIR, instead of going on with them",
    )
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
        "--nms-iou",
        type=number_or_none,
        default=EvaluationSettings().nms_iou,
        metavar="IOU",
        help="drop boxes that overlap one of a higher score and the same class by more than this, "
        "or 'none' (default %(default)s, as in the FROC analysis)",
    )
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=defaults.score_threshold,
        metavar="S",
        help="draw detections from this score on (default %(default)s); the JSON file holds all",
    )
    parser.add_argument(
        "--no-overlays", action="store_true", help="draw no pictures, which saves time and space"
    )
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu or cuda"
    )
    return parser


def _frame(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor 'all'") from None


def _find(args: argparse.Namespace) -> tuple[list["PredictionImage"], list[str]]:
    """The images that the inputs mean, without the pictures that this tool drew.

    Returns:
        The images, and a sentence for each thing that is left out because it cannot be looked at.
    """
    from medmask.inference import find_images, images_of_files

    found = find_images(args.inputs)
    paths = [path for path in found.paths if not _is_drawn_here(path)]
    drawn = len(found.paths) - len(paths)
    if not paths:
        raise InputError(f"the inputs hold nothing but {drawn} pictures that predict.py drew")
    if drawn:
        print(f"note: {drawn} pictures that predict.py drew are passed over", file=sys.stderr)
    return images_of_files(paths, args.frame), found.problems


def _is_drawn_here(path: Path) -> bool:
    """Tell whether a path is a picture in an output folder of this tool."""
    folder = path.absolute().parent
    return folder.name == OVERLAYS and (folder.parent / JOURNAL).exists()


def run(args: argparse.Namespace) -> int:
    """Detect in all images; the status is 0 if all went well."""
    options = PredictionOptions(args.score_threshold, overlays=not args.no_overlays)
    if bool(args.inputs) == bool(args.dataset):
        raise InputError("give either images, folders or patterns, or --dataset NAME")
    if not args.checkpoint.is_file():
        raise InputError(
            f"checkpoint {args.checkpoint} does not exist: name one with --checkpoint, or train "
            "one with `make demo`"
        )
    from medmask.inference import MedMaskPredictor, images_of_dataset, predict_images
    from medmask.inference.class_labels import dataset_labels

    images, problems = (images_of_dataset(args.dataset), []) if args.dataset else _find(args)
    predictor = MedMaskPredictor(
        args.config_file or str(args.checkpoint.with_name("config.yaml")),
        str(args.checkpoint),
        overrides=[f"train.device={args.device}"],
        nms_iou=args.nms_iou,
    )
    summary = predict_images(
        predictor,
        images,
        args.output,
        options=options,
        labels=dataset_labels(args.dataset) if args.dataset else None,
        overwrite=args.overwrite,
    )
    for problem in (*problems, *summary.problems):
        line = problem.replace("\n", "\\n")  # file names may hold anything
        print(f"error: {line}", file=sys.stderr)
    failed = len(summary.problems)
    print(
        f"{summary.images - failed} of {summary.images} images ({summary.done_before} done before, "
        f"{failed} failed, {len(problems)} left out): {args.output / DETECTIONS}"
        + ("" if args.no_overlays else f", {args.output / OVERLAYS}")
    )
    return 1 if failed or problems else 0


main = entry_point(make_parser, run)
