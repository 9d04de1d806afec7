"""Read annotations that readers have corrected back into a COCO set, on the stored images.

Reads what an annotation tool exports after it was given what medmask export-annotations wrote:
Label Studio's JSON, or CVAT's "CVAT for images 1.1" or "COCO 1.0". The set holds images that were
reviewed, those without lesions, too: submitted in Label Studio, tagged as reviewed in CVAT. Any
other image is in no set, for it may show anything. Lesions are in pixels of the stored images, and
their "origin" tells what the reader did: kept, changed or added.

An image whose annotations cannot be taken over (an unknown label, several readers, a file that has
changed) is reported and left out. Exit status: 0 if all went well, 1 if an image was left out, 2 if
the run could not start or go on.
"""

import argparse
import sys
from pathlib import Path

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import folder, print_problems
from medmask.commands.output_files import check_output_files
from medmask.errors import InputError
from medmask.utils.counts import counted

_EXAMPLES = """
examples:
  medmask import-annotations output/to_annotate project-1.json --output corrected.json
  medmask import-annotations output/to_annotate annotations.xml --output corrected.json
  medmask check-data --json corrected.json --images scans/

  Into the set that the images are of:
    medmask import-annotations output/to_annotate annotations.xml --output train_corrected.json \\
        --merge-with datasets/inbreast/annotations/instances_train.json
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "export", type=folder, metavar="DIR", help="the output folder of export-annotations"
    )
    parser.add_argument(
        "annotations", type=Path, metavar="FILE", help="what the annotation tool has exported"
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="JSON", help="annotation file to write"
    )
    parser.add_argument(
        "--all-reviewed",
        action="store_true",
        help="every image in a file of CVAT was looked at; without it, those with the tag reviewed",
    )
    parser.add_argument(
        "--images",
        type=folder,
        metavar="ROOT",
        help="folder that the set's file names are relative to (default: that of the data set, or "
        "the folder that all images lie in)",
    )
    parser.add_argument(
        "--merge-with",
        type=Path,
        metavar="JSON",
        help="annotation file of a set: the result holds that, too, with the readers' lesions in "
        "the place of those of the images that they have reviewed",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="categories of the set; other labels are refused (default: those of the export)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the set; the status is 0 if all went well."""
    if args.output.suffix.lower() != ".json":
        raise InputError(f"--output {args.output} must be a .json file")
    from medmask.annotation import import_annotations
    from medmask.annotation.manifest import MANIFEST

    inputs = {
        "FILE": args.annotations,
        "--merge-with": args.merge_with,
        "the manifest of the export": args.export / MANIFEST,
    }
    check_output_files(inputs, {"--output": args.output})
    summary = import_annotations(
        args.export,
        args.annotations,
        args.output,
        classes=args.classes,
        image_root=args.images,
        merge_with=args.merge_with,
        all_reviewed=args.all_reviewed,
    )
    for note in summary.notes:
        print(f"note: {note}", file=sys.stderr)
    print_problems(summary.problems)
    lesions = ", ".join(
        f"{summary.lesions[name]} {name}" for name in ("kept", "changed", "added", "deleted")
    )
    print(
        f"{counted(summary.reviewed, 'image')} reviewed, {summary.normal} of them normal; lesions: "
        f"{lesions}\n"
        f"{counted(summary.not_reviewed, 'image')} not reviewed, {summary.absent} not in the file, "
        f"{len(summary.problems)} left out\n"
        f"{args.output}, images in {summary.image_root}"
    )
    return 1 if summary.problems else 0


main = entry_point(make_parser, run)
