"""Check data sets: annotations, images on disk, overlap between splits. Prints all problems."""

import argparse

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.errors import InputError

_EXAMPLES = """
examples:
  medmask check-data ddsm_train ddsm_val
  medmask check-data --json mine/train.json --images mine/train \\
      --json mine/val.json --images mine/val

Splits of one data set that are given together must not share images or patients. Names are looked
up under the folder in DETECTRON2_DATASETS (default ./datasets; see datasets/README.md). The exit
status is 0 if nothing is wrong, else 1.
"""
_SPLITS = ("train", "val", "test", "heldout")


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a registered data set")
    parser.add_argument(
        "--json", action="append", default=[], metavar="FILE", help="a COCO annotation file"
    )
    parser.add_argument(
        "--images", action="append", default=[], metavar="DIR", help="the images of that file"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Print a report on each data set, and what splits share; the status is 0 if all is well."""
    if len(args.json) != len(args.images):
        raise InputError("give one --images folder for each --json file")
    if not args.names and not args.json:
        raise InputError("name a data set, or give --json and --images")
    from medmask.data.dataset_report import (
        find_overlaps,
        inspect_dataset,
        inspect_registered_dataset,
    )

    reports = [inspect_registered_dataset(name) for name in args.names]
    families = [_family(name) for name in args.names]
    for json_file, image_root in zip(args.json, args.images, strict=True):
        reports.append(inspect_dataset(json_file, json_file, image_root))
        families.append("")
    for report in reports:
        print(f"{report.name}: {len(report.problems) or 'no'} problems")
        for problem in report.problems:
            print(f"  {problem}")
        print(f"  {report.summary()}\n")

    overlaps = []
    for family in dict.fromkeys(families):
        group = [r for r, own in zip(reports, families, strict=True) if own == family]
        overlaps += find_overlaps(group)
    for overlap in overlaps:
        print(overlap)
    return 1 if overlaps or any(report.problems for report in reports) else 0


def _family(name: str) -> str:
    """The data set of whose splits no two must overlap; what is no split is a set of its own."""
    stem, _, split = name.rpartition("_")
    return stem if split in _SPLITS else name


main = entry_point(make_parser, run)
