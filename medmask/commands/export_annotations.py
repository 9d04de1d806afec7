"""Write images and pre-annotations for readers, to be corrected in CVAT or Label Studio.

OUTPUT/for_readers is what the annotation tool gets: images/*.png, windowed to 8 bits, under names
that tell nothing of the patient, and the detections as pre-annotations, with the labels to set the
tool up with, in cvat/ and label_studio/. OUTPUT/manifest.json leads back to the pixels of the
stored images; it names their files, and stays here. medmask import-annotations reads what readers
made of it.

Images come in the order of the predictions, or the most uncertain first (--rank).

Exit status: 0 if all went well, 1 if an image was left out, 2 if the run could not start or go on.
"""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from medmask.annotation.options import MEASURES, PATIENTS, ExportOptions, RankingOptions
from medmask.commands.dataset_config import add_dataset_config, register_datasets_of_config
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import (
    add_output_folder,
    add_score_threshold,
    folder,
    print_problems,
)
from medmask.commands.predictions_input import add_predictions, read_predictions_input
from medmask.errors import InputError
from medmask.utils.counts import counted

if TYPE_CHECKING:
    from medmask.annotation.ranking import Ranking
    from medmask.dicom_results import Predictions

_EXAMPLES = """
examples:
  medmask predict scans/ --no-overlays --output output/predictions
  medmask export-annotations output/predictions --output output/to_annotate

  Smaller pictures of the breast alone, of a data set's images:
    medmask predict --dataset inbreast_train --no-overlays --output output/predictions
    medmask export-annotations output/predictions --output output/to_annotate \\
        --crop-to-breast --max-size 2048

  Where detections in an image and in its mirror image differ most, one image a patient:
    medmask predict scans/ --no-overlays --mirrored --output output/mirrored
    medmask export-annotations output/predictions --output output/to_annotate \\
        --rank disagreement --compare-with output/mirrored --count 100 --patients one
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = ExportOptions()
    parser = examples_parser(__doc__, _EXAMPLES)
    add_predictions(parser)
    add_output_folder(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an export that DIR holds already"
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="labels that readers may give (default: the detector's classes)",
    )
    add_score_threshold(parser, defaults.score_threshold, "show detections from this score on")
    parser.add_argument(
        "--max-size",
        type=int,
        default=defaults.max_size,
        metavar="N",
        help="reduce pictures to N pixels along their longer side (default: as they are stored)",
    )
    parser.add_argument(
        "--crop-to-breast", action="store_true", help="show the breast and a margin alone"
    )
    parser.add_argument(
        "--hang",
        action="store_true",
        help="turn and mirror DICOM images as they are hung, where Patient Orientation, side and "
        "view tell how they lie; others are shown as they are stored",
    )
    parser.add_argument(
        "--allow-burned-in-text",
        action="store_true",
        help="show images, too, whose header says that there is writing in their pixels",
    )
    parser.add_argument(
        "--image-url",
        default=defaults.image_url,
        metavar="URL",
        help="what Label Studio finds images/NAME.png under (default %(default)s, local files with "
        "for_readers as document root)",
    )
    _add_ranking(parser)
    return parser


def _add_ranking(parser: argparse.ArgumentParser) -> None:
    defaults = RankingOptions()
    group = parser.add_argument_group("which images")
    group.add_argument(
        "--rank",
        choices=MEASURES,
        help="the most uncertain images first: entropy (many doubtful detections), margin (a "
        "detection near the score threshold), least-confidence (a highest score near 0.5), "
        "disagreement (with --compare-with); or the highest scores first, or a random order "
        "(default: as they were predicted on)",
    )
    group.add_argument(
        "--compare-with",
        type=folder,
        metavar="DIR",
        help="other predictions on the same images, for --rank disagreement: of predict "
        "--mirrored, or of other weights, such as a teacher's and its student's",
    )
    group.add_argument("--count", type=int, metavar="N", help="write the first N images alone")
    group.add_argument(
        "--patients",
        choices=PATIENTS,
        default=defaults.patients,
        help="spread: the first image of each patient before the second of any; one: one image of "
        "each (default %(default)s)",
    )
    group.add_argument(
        "--dataset",
        metavar="NAME",
        help="registered data set of the images, which tells the patients; DICOM files tell theirs",
    )
    add_dataset_config(group)
    group.add_argument(
        "--least-score",
        type=float,
        default=defaults.least_score,
        metavar="S",
        help="lower scores do not count in entropy and disagreement (default %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=defaults.seed,
        metavar="N",
        help="of a random order (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the export; the status is 0 if all went well."""
    options = ExportOptions(
        score_threshold=args.score_threshold,
        max_size=args.max_size,
        crop_to_breast=args.crop_to_breast,
        hang=args.hang,
        allow_burned_in_text=args.allow_burned_in_text,
        image_url=args.image_url,
        classes=None if args.classes is None else tuple(args.classes),
    )
    ranking = RankingOptions(
        measure=args.rank,
        count=args.count,
        patients=args.patients,
        score_threshold=args.score_threshold,
        least_score=args.least_score,
        seed=args.seed,
    )
    if (args.rank == "disagreement") != (args.compare_with is not None):
        raise InputError("--rank disagreement and --compare-with need each other")
    register_datasets_of_config(args.config_file)
    predictions = _read_predictions(args)
    ranked = _rank(args, predictions, ranking)
    from medmask.annotation import export_annotations

    summary = export_annotations(
        replace(predictions, images=ranked.images),
        args.output,
        options,
        uncertainties=ranked.uncertainties,
        overwrite=args.overwrite,
    )
    print_problems(summary.problems)
    print(
        f"{counted(summary.images, 'image')} with "
        f"{counted(summary.pre_annotations, 'pre-annotation')}, "
        f"{counted(len(summary.problems), 'image')} left out: {args.output}"
    )
    return 1 if summary.problems else 0


def _read_predictions(args: argparse.Namespace) -> "Predictions":
    """Those of a folder, of files, or, with a list of detections and a data set, of its images."""
    is_of_dataset = args.dataset and args.predictions.is_file() and not args.images
    if not is_of_dataset:
        return read_predictions_input(args)
    if args.checkpoint is None:
        raise InputError(
            f"the file {args.predictions} does not tell the weights: give --checkpoint"
        )
    from medmask.annotation.dataset_predictions import read_detections_of_dataset

    return read_detections_of_dataset(args.predictions, args.dataset, args.checkpoint)


def _rank(
    args: argparse.Namespace, predictions: "Predictions", options: RankingOptions
) -> "Ranking":
    from medmask.annotation.patients import find_patients
    from medmask.annotation.ranking import rank_images
    from medmask.dicom_results import read_predictions

    others = None if args.compare_with is None else read_predictions(args.compare_with).images
    patients = None
    if options.patients != "all":
        patients = find_patients(predictions.images, args.dataset)
    return rank_images(predictions.images, options, others=others, patients=patients)


main = entry_point(make_parser, run)
