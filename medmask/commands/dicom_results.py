"""Write predictions on DICOM images as DICOM objects that a hospital's systems show.

For each study OUTPUT/STUDY gets measurement_report.dcm (structured report, TID 1500) and
cad_report.dcm (mammography CAD, TID 4000), and for each image a presentation state (boxes that a
viewer lays over the image) and a secondary capture (a picture with the boxes burnt in). All say
that they are not for clinical use. A repeated run makes the same objects, and writes only what is
missing.

Images that are not DICOM of a single frame, or whose headers lack what the objects need, are
reported and do not stop the rest. Exit status: 0 if all went well, 1 if an image was left out, 2 if
the run could not start or go on.
"""

import argparse
from dataclasses import replace

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_output_folder, print_problems
from medmask.commands.predictions_input import add_predictions, read_predictions_input
from medmask.dicom_results.options import OBJECTS, ResultOptions
from medmask.utils.counts import counted

_EXAMPLES = """
examples:
  medmask predict scans/ --output output/predictions
  medmask dicom-results output/predictions --output output/dicom --score-threshold 0.5

  With calibrated probabilities, and the threshold of that operating point:
    medmask predict scans/ --operating-point 0.3 --output output/calibrated \\
        --checkpoint output/mine/source_only/model_best.pth
    medmask dicom-results output/calibrated --output output/dicom

  From a list of detections in COCO's result format, with all images that were scored:
    medmask dicom-results detections.json scans/ --output output/dicom \\
        --checkpoint output/mine/source_only/model_best.pth
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = ResultOptions()
    parser = examples_parser(__doc__, _EXAMPLES)
    add_predictions(parser)
    add_output_folder(parser)
    parser.add_argument(
        "--score-threshold",
        type=float,
        metavar="S",
        help="detections from this score on are findings (default: the threshold of the operating "
        f"point that predict had, or {defaults.score_threshold})",
    )
    parser.add_argument(
        "--objects",
        nargs="+",
        choices=OBJECTS,
        default=list(defaults.objects),
        help="what to write (default: all)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the results; the status is 0 if all went well."""
    options = ResultOptions(objects=tuple(args.objects))
    if args.score_threshold is not None:
        options = replace(options, score_threshold=args.score_threshold)
    predictions = read_predictions_input(args)
    if args.score_threshold is None and predictions.operating_threshold is not None:
        options = replace(options, score_threshold=predictions.operating_threshold)
    from medmask.dicom_results import write_results

    summary = write_results(predictions, args.output, options)
    print_problems(summary.problems)
    print(
        f"{counted(summary.studies, 'study', 'studies')}: {counted(summary.written, 'object')} "
        f"written, {summary.there_before} there before, "
        f"{counted(len(summary.problems), 'image or study', 'images or studies')} left out: "
        f"{args.output}"
    )
    return 1 if summary.problems else 0


main = entry_point(make_parser, run)
