"""Run the stages of a benchmark and their controls over several seeds, and write a table."""

import argparse
from collections import Counter
from pathlib import Path

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.errors import InputError
from medmask.evaluation.settings import DEFAULT_MIN_PAIRS

TRAINING_TOOL = ("-m", "medmask", "train")
_EXAMPLES = """
examples:
  All runs with eight seeds, two runs at a time, each on half of the cores:
    medmask run-benchmark configs/medmask/phantom2ffdm/benchmark.py

  A first look, which shows nothing yet:
    medmask run-benchmark configs/medmask/phantom2ffdm/benchmark.py --seeds 0 1 --runs teaching

Interrupted, it goes on where it stopped when it is called again. The tables are in benchmark.md and
benchmark.json of the output folder, the differences to controls in benchmark.png, too; they grow
with every run that ends, and runs and seeds of earlier calls stay in them. Differences are paired
by seed. "better" and "worse" are more than two standard errors, over at least --min-pairs pairs;
all else is "not shown".
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("plan", metavar="PLAN.py", help="a file with the benchmark's runs")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=list(range(DEFAULT_MIN_PAIRS)),
        metavar="S",
        help=f"each run is done once per seed (default 0 to {DEFAULT_MIN_PAIRS - 1})",
    )
    parser.add_argument(
        "--min-pairs",
        type=int,
        default=DEFAULT_MIN_PAIRS,
        metavar="N",
        help="seeds that a verdict needs, at least 2 (default %(default)s)",
    )
    parser.add_argument("--runs", nargs="+", metavar="NAME", help="only these and what they need")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="default output/benchmark/<folder of the plan>",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="runs at the same time, which share the cores (default 2, or 1 on one core)",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        dest="options",
        help="settings of the config for every run",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Run what is not done yet, and write the table after each run."""
    from medmask.engine import load_comparison, read_results, run_comparison, write_tables
    from medmask.utils.openmp import usable_cores

    _check(args)
    jobs = args.jobs or min(2, usable_cores())
    comparison = load_comparison(args.plan)
    asked_for = comparison.restricted_to(args.runs) if args.runs else comparison
    output = args.output or Path("output/benchmark") / Path(args.plan).resolve().parent.name

    def write() -> str:
        """Write tables of all that has ended, whichever call it was asked for by."""
        results, problems = read_results(comparison, output, args.options)
        return write_tables(comparison, results, output, args.min_pairs, problems)

    def report(message: str) -> None:
        write()
        print(message, flush=True)

    run_comparison(
        asked_for,
        args.seeds,
        output,
        tool=TRAINING_TOOL,
        jobs=jobs,
        options=args.options,
        report=report,
    )
    print(f"\n{write()}")
    print(f"written to {output}: benchmark.md, benchmark.json and, of differences, benchmark.png")


def _check(args: argparse.Namespace) -> None:
    """Check the numbers before anything is run."""
    if args.min_pairs < 2:
        raise InputError(f"--min-pairs is {args.min_pairs}: a standard error needs 2 pairs or more")
    if args.jobs is not None and args.jobs < 1:
        raise InputError(f"--jobs is {args.jobs}: at least one run has to be done at a time")
    repeated = [seed for seed, times in Counter(args.seeds).items() if times > 1]
    if repeated or min(args.seeds) < 0:
        raise InputError(f"--seeds are {args.seeds}: give different whole numbers, 0 or more")


main = entry_point(make_parser, run)
