"""Write images and pre-annotations for readers, to be corrected in CVAT or Label Studio.

OUTPUT/for_readers is what the annotation tool gets: images/*.png, windowed to 8 bits, under names
that tell nothing of the patient, and the detections as pre-annotations, with the labels to set the
tool up with, in cvat/ and label_studio/. OUTPUT/manifest.json leads back
to the pixels of the stored images; it names their files, and stays here. medmask import-annotations
reads what readers made of it.

Exit status: 0 if all went well, 1 if an image was left out, 2 if the run could not start or go on.
"""

import argparse
import sys

from medmask.annotation.options import ExportOptions
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import folder
from medmask.commands.predictions_input import add_predictions, read_predictions_input

_EXAMPLES = """
examples:
  medmask predict scans/ --no-overlays --output output/predictions
  medmask export-annotations output/predictions --output output/to_annotate

  Smaller pictures of the breast alone, of a data set's images:
    medmask predict --dataset inbreast_train --no-overlays --output output/predictions
    medmask export-annotations output/predictions --output output/to_annotate \\
        --crop-to-breast --max-size 2048
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = ExportOptions()
    parser = examples_parser(__doc__, _EXAMPLES)
    add_predictions(parser)
    parser.add_argument(
        "--output", required=True, type=folder, metavar="DIR", help="where to write"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an export that DIR holds already"
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="labels that readers may give (default: the detector's classes)",
    )
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=defaults.score_threshold,
        metavar="S",
        help="show detections from this score on (default %(default)s)",
    )
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
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the export; the status is 0 if all went well."""
    options = ExportOptions(
        score_threshold=args.score_threshold,
        max_size=args.max_size,
        crop_to_breast=args.crop_to_breast,
        allow_burned_in_text=args.allow_burned_in_text,
        image_url=args.image_url,
        classes=None if args.classes is None else tuple(args.classes),
    )
    predictions = read_predictions_input(args)
    from medmask.annotation import export_annotations

    summary = export_annotations(predictions, args.output, options, overwrite=args.overwrite)
    for problem in summary.problems:
        line = problem.replace("\n", "\\n")  # file names may hold anything
        print(f"error: {line}", file=sys.stderr)
    print(
        f"{summary.images} images with {summary.pre_annotations} pre-annotations, "
        f"{len(summary.problems)} images left out: {args.output}"
    )
    return 1 if summary.problems else 0


main = entry_point(make_parser, run)
