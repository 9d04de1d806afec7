#!/usr/bin/env python3
"""Check data sets: annotations, images on disk, overlap between splits. Prints all problems."""

import argparse
import itertools

from medmask.data.dataset_report import (
    DatasetReport,
    find_overlaps,
    inspect_dataset,
    inspect_registered_dataset,
)
from medmask.errors import command_line_tool

_EXAMPLE = """
examples:
  python tools/check_dataset.py ddsm_train ddsm_val
  python tools/check_dataset.py --json mine/train.json --images mine/train \\
      --json mine/val.json --images mine/val

Splits of one data set that are given together must not share images or patients. Names are looked
up under the folder in DETECTRON2_DATASETS (default ./datasets; see datasets/README.md). The exit
status is 0 if nothing is wrong, else 1.
"""
_SPLITS = ("train", "val", "test")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a registered data set")
    parser.add_argument(
        "--json", action="append", default=[], metavar="FILE", help="a COCO annotation file"
    )
    parser.add_argument(
        "--images", action="append", default=[], metavar="DIR", help="the images of that file"
    )
    return parser


def _family(report: DatasetReport) -> str:
    """The data set that a report's split belongs to; that of all files given by --json is ''."""
    stem, _, split = report.name.rpartition("_")
    return stem if split in _SPLITS else ""


@command_line_tool
def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    if len(arguments.json) != len(arguments.images):
        parser.error("give one --images folder for each --json file")
    if not arguments.names and not arguments.json:
        parser.error("name a data set, or give --json and --images")

    reports = [inspect_registered_dataset(name) for name in arguments.names]
    reports += [
        inspect_dataset(json_file, json_file, image_root)
        for json_file, image_root in zip(arguments.json, arguments.images, strict=True)
    ]
    for report in reports:
        print(f"{report.name}: {len(report.problems) or 'no'} problems")
        for problem in report.problems:
            print(f"  {problem}")
        print(f"  {report.summary()}\n")

    overlaps = []
    for _, group in itertools.groupby(sorted(reports, key=_family), key=_family):
        overlaps += find_overlaps(list(group))
    for overlap in overlaps:
        print(overlap)
    return 1 if overlaps or any(report.problems for report in reports) else 0


if __name__ == "__main__":
    main()
