"""Write one HTML page about a run, or about several and their differences over patients."""

import argparse
from pathlib import Path

from medmask.commands.dataset_config import add_dataset_config, register_datasets_of_config
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.report.options import ReportOptions

_EXAMPLES = """
examples:
  medmask report output/demo/alignment

  Compare runs with the first, on the same patients:
    medmask report output/demo/source_only output/demo/alignment --output comparison.html

  A teacher, or an average of weights, beside the trained model of its run:
    medmask report output/demo/teaching output/demo/teaching/teacher

  Without pictures, for a data set that may not be passed on:
    medmask report output/inbreast/source_only --gallery 0

RUN is the train.output_dir of a run, or the folder in it of another model that it evaluated. The
page needs no network: it holds metrics with intervals, FROC and ROC curves, calibration, losses,
what the stages learned, hits, misses and false positives in a table to sort, facts of the data
sets, config and versions. What a run has not left is named, with the command that makes it.
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = ReportOptions()
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PAGE.html",
        help="what to write (default: report.html in the folder of the first run)",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="registered data set that the detections are of (default: that of the config)",
    )
    add_dataset_config(parser)
    parser.add_argument(
        "--errors-at",
        type=float,
        default=defaults.fpi,
        metavar="FPI",
        help="false positives per image at which hits and misses are told apart "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--gallery",
        type=int,
        default=defaults.gallery,
        metavar="N",
        help="findings of each kind to show of each run, 0 for no pictures; all pictures together "
        "are at most 8 MiB (default %(default)s)",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        metavar="N",
        help="resamples of the patients for the 95%% intervals, 0 for none (default: as in the "
        "evaluation)",
    )
    parser.add_argument("--title", metavar="TEXT", help="of the page (default: the runs' names)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    options = ReportOptions(
        dataset=args.dataset,
        fpi=args.errors_at,
        gallery=args.gallery,
        bootstrap=args.bootstrap,
        title=args.title,
    )
    register_datasets_of_config(args.config_file)
    from medmask.report import write_report

    path = args.output or args.runs[0] / "report.html"
    write_report(args.runs, path, options)
    print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)")


main = entry_point(make_parser, run)
