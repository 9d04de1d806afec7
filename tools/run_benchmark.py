#!/usr/bin/env python3
"""Run the stages of a benchmark and their controls over several seeds, and write a table."""

import argparse
from pathlib import Path

from medmask.engine import load_comparison, run_comparison, write_tables
from medmask.errors import command_line_tool

TOOL = Path(__file__).parent / "lazyconfig_train_net.py"
_EXAMPLES = """
examples:
  python tools/run_benchmark.py configs/medmask/phantom2ffdm/benchmark.py --seeds 0 1 2

  Two runs at a time, each on half of the cores:
    python tools/run_benchmark.py configs/medmask/phantom2ffdm/benchmark.py --jobs 2

Interrupted, it goes on where it stopped when it is called again. The table is in benchmark.md and
benchmark.json of the output folder, and grows with every run that ends.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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


@command_line_tool
def main() -> None:
    args = _parser().parse_args()
    comparison = load_comparison(args.plan)
    if args.runs:
        comparison = comparison.restricted_to(args.runs)
    output = args.output or Path("output/benchmark") / Path(args.plan).resolve().parent.name
    total = len(comparison.runs) * len(args.seeds)
    done = 0

    def report(results, message):
        nonlocal done
        done += 1
        write_tables(comparison, results, args.seeds, output)
        print(f"[{done}/{total}] {message}", flush=True)

    results = run_comparison(
        comparison,
        args.seeds,
        output,
        tool=TOOL,
        jobs=args.jobs,
        options=args.options,
        report=report,
    )
    print(f"\n{write_tables(comparison, results, args.seeds, output)}")
    print(f"written to {output / 'benchmark.md'} and {output / 'benchmark.json'}")


if __name__ == "__main__":
    main()
