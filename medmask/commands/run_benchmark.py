"""Run the stages of a benchmark and their controls over several seeds, and write a table."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.commands.entry_point import entry_point, examples_parser

if TYPE_CHECKING:
    from medmask.engine.comparison.runner import Results

TRAINING_TOOL = ("-m", "medmask", "train")
_EXAMPLES = """
examples:
  medmask run-benchmark configs/medmask/phantom2ffdm/benchmark.py --seeds 0 1 2

  Two runs at a time, each on half of the cores:
    medmask run-benchmark configs/medmask/phantom2ffdm/benchmark.py --jobs 2

Interrupted, it goes on where it stopped when it is called again. The table is in benchmark.md and
benchmark.json of the output folder, and grows with every run that ends.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("plan", metavar="PLAN.py", help="a file with the benchmark's runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S")
    parser.add_argument("--runs", nargs="+", metavar="NAME", help="only these and what they need")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="default output/benchmark/<folder of the plan>",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs at the same time (default 1)"
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
    from medmask.engine import load_comparison, run_comparison, write_tables

    comparison = load_comparison(args.plan)
    if args.runs:
        comparison = comparison.restricted_to(args.runs)
    output = args.output or Path("output/benchmark") / Path(args.plan).resolve().parent.name
    total = len(comparison.runs) * len(args.seeds)
    done = 0

    def report(results: "Results", message: str) -> None:
        nonlocal done
        done += 1
        write_tables(comparison, results, args.seeds, output)
        print(f"[{done}/{total}] {message}", flush=True)

    results = run_comparison(
        comparison,
        args.seeds,
        output,
        tool=TRAINING_TOOL,
        jobs=args.jobs,
        options=args.options,
        report=report,
    )
    print(f"\n{write_tables(comparison, results, args.seeds, output)}")
    print(f"written to {output / 'benchmark.md'} and {output / 'benchmark.json'}")


main = entry_point(make_parser, run)
