"""Convert a raw download of a data set to a COCO tree, with images as they are or smaller.

Writes OUTPUT/images, OUTPUT/annotations/instances_{all,train,val,test,heldout}.json (malignant
lesions) and the same with _lesion.json (any lesion), provenance.json (hashes, counts, what was left
out and why) and contact_sheet.png; heldout is val and test together. Images are 16-bit PNG (8-bit
for files of 8 bits) without a loss. Patients are never in two splits.

The same command goes on where it was stopped, even by a kill; with other labels or --folds it adds
annotation files and leaves the images. An image that cannot be converted is reported and does not
stop the rest. Exit status: 0 if all went well, 1 if there were problems, 2 if it could not start.
"""

import argparse
import os

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_output_folder, folder
from medmask.converters.parts import LABELS
from medmask.converters.registry import CONVERTERS
from medmask.utils.counts import counted

_EXAMPLES = f"""
data sets (what each converter decides: datasets/README.md):
{chr(10).join(f"  {name:14} {text}" for name, text in CONVERTERS.items())}

examples:
  medmask convert mini_mias downloads/mias --output datasets/mini_mias
  medmask convert mini_mias downloads/mias --output datasets/mini_mias --folds 5 --labels lesion
  medmask convert coco_tree my_set --output datasets/coco_tree --link --folds 5
  medmask convert mini_mias downloads/mias --output datasets/small --max-size 640 --workers 2
  medmask check-data mini_mias_train mini_mias_val mini_mias_test
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("set", metavar="SET", help="the data set: a name of the list below")
    parser.add_argument("raw", type=folder, metavar="RAW", help="folder of the raw download")
    add_output_folder(parser)
    parser.add_argument(
        "--labels",
        nargs="+",
        choices=LABELS,
        default=list(LABELS),
        help="lesions to annotate, each in files of its own (default: both)",
    )
    parser.add_argument(
        "--folds", type=int, metavar="K", help="write K patient folds instead of splits"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of splits and folds (default %(default)s)"
    )
    parser.add_argument(
        "--max-size",
        type=int,
        metavar="PIXELS",
        help="reduce images whose longer side has more pixels (default: full size)",
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="link to the raw files instead of writing PNG files",
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="every lesion of a coco_tree is marked, benign ones too: images without any are "
        "labeled as showing none",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="W",
        help="processes (default: one per core)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Convert, and print counts and problems; the status is 0 if there are none."""
    from medmask.converters.options import ConversionOptions
    from medmask.converters.problems import list_first
    from medmask.converters.run import convert

    options = ConversionOptions(
        labels=tuple(args.labels),
        folds=args.folds,
        seed=args.seed,
        max_size=args.max_size,
        link=args.link,
        workers=args.workers,
        complete=args.complete,
    )
    report = convert(args.set, args.raw, args.output, options, show_progress=True)
    for name, (images, patients, lesions, with_lesions) in report.files.items():
        print(
            f"{name}: {counted(images, 'image')}, {counted(patients, 'patient')}, "
            f"{counted(lesions, 'lesion')} on {counted(with_lesions, 'image')}"
        )
    provenance = args.output / "provenance.json"
    if report.left_out:
        print(f"left out: {counted(len(report.left_out), 'image')}, see {provenance}")
    for line in list_first(report.problems, "problem: ", f": {provenance} has all"):
        print(line)
    print(f"wrote {args.output}: look at contact_sheet.png, and run medmask check-data")
    return 1 if report.problems else 0


main = entry_point(make_parser, run)
