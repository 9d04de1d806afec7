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
from medmask.commands.options import folder

# As in medmask.data.converters, whose package imports PyTorch; a test compares them.
SETS = {
    "cbis_ddsm": "CBIS-DDSM: 3,103 scanned films with masks (four CSV tables, DICOM)",
    "cdd_cesm": "CDD-CESM: 1,003 low-energy images with regions (XLSX, CSV, JPEG)",
    "cmmd": "CMMD: 5,202 images with the biopsy of breasts, no boxes (XLSX, DICOM)",
    "csaw_cc": "CSAW-CC: 98,788 screening images, some with masks (CSV, DICOM, PNG)",
    "ddsm": "DDSM: 2,620 cases of scanned films with outlines (ICS, OVERLAY, decoded LJPEG)",
    "inbreast": "INbreast release 1.0: 410 digital images (AllDICOMs, AllXML, INbreast.csv)",
    "mini_mias": "mini-MIAS: 322 scanned films (PGM and Info.txt)",
    "rsna": "RSNA screening mammography 2022: labels of breasts, no boxes (train.csv, DICOM)",
    "rsna_bsd1k": "RSNA-BSD1K: 1,000 images of the RSNA set with boxes (COCO, PNG)",
    "embed": "EMBED, AWS Open Data release: digital mammograms with marked regions (CSV, DICOM)",
    "vindr_mammo": "VinDr-Mammo: 5,000 exams (two CSV tables, DICOM)",
    "coco_tree": "your own COCO tree, to split by patient or reduce in size (JSON and images)",
    "dicom_folder": "any folder of DICOM mammograms, without lesions",
}
LABELS = ("malignant", "lesion")
_EXAMPLES = f"""
data sets (what each converter decides: datasets/README.md):
{chr(10).join(f"  {name:14} {text}" for name, text in SETS.items())}

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
    parser.add_argument(
        "--output", type=folder, required=True, metavar="DIR", help="folder to write"
    )
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
        help="link to the raw files (DICOM, PNG) instead of writing PNG files",
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
    from medmask.data.converters.run import ConversionOptions, convert

    options = ConversionOptions(
        labels=tuple(args.labels),
        folds=args.folds,
        seed=args.seed,
        max_size=args.max_size,
        link=args.link,
        workers=args.workers,
    )
    report = convert(args.set, args.raw, args.output, options, progress=True)
    for name, (images, patients, lesions, with_lesions) in report.files.items():
        print(
            f"{name}: {images} images, {patients} patients, {lesions} lesions on {with_lesions} "
            "images"
        )
    if report.left_out:
        print(f"left out: {len(report.left_out)} images, see {args.output / 'provenance.json'}")
    for problem in report.problems:
        print(f"problem: {problem}")
    print(f"wrote {args.output}: look at contact_sheet.png, and run medmask check-data")
    return 1 if report.problems else 0


main = entry_point(make_parser, run)
