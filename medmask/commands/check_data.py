"""Check data sets: annotations, images on disk, overlap between splits. Prints all problems."""

import argparse
import itertools

from medmask.commands.dataset_config import add_dataset_config, register_datasets_of_config
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.errors import InputError
from medmask.utils.counts import counted

_EXAMPLES = """
examples:
  medmask check-data ddsm_train ddsm_val
  medmask check-data mine_train mine_val --config-file configs/medmask/mine/source_only.py
  medmask check-data --json mine/train.json --images mine/train \\
      --json mine/val.json --images mine/val

Splits of one data set that are given together must not share images or patients; nor must files
given by --json. Parts that may, such as SET_all and SET_val, or SET_heldout, which is val and test,
get a note. Names are looked up under the folder in DETECTRON2_DATASETS (default ./datasets; see
datasets/README.md). The exit status is 0 if nothing is wrong, else 1.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a registered data set")
    add_dataset_config(parser)
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
        note_overlaps,
    )
    from medmask.data.split_names import Relation, SplitName

    register_datasets_of_config(args.config_file)
    reports = [inspect_registered_dataset(name) for name in args.names]
    for json_file, image_root in zip(args.json, args.images, strict=True):
        reports.append(inspect_dataset(json_file, json_file, image_root))
    for report in reports:
        print(f"{report.name}: {counted(len(report.problems) or 'no', 'problem')}")
        for problem in report.problems:
            print(f"  {problem}")
        print(f"  {report.summary()}\n")

    splits = [SplitName.parse(name) for name in args.names]
    # files are parts of one set without a name
    splits += [SplitName("", f"file {i}") for i in range(len(args.json))]
    notes, overlaps = [], []
    for (first, split), (second, other) in itertools.combinations(
        zip(reports, splits, strict=True), 2
    ):
        relation = split.relate(other)
        if relation is Relation.DISJOINT:
            overlaps += find_overlaps(first, second)
        elif relation is Relation.OVERLAPPING:
            notes += note_overlaps(first, second)
    for line in (*notes, *overlaps):
        print(line)
    return 1 if overlaps or any(report.problems for report in reports) else 0


main = entry_point(make_parser, run)
