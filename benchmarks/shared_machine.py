#!/usr/bin/env python3
"""Time a training step alone and beside busy processes, for several ways in which threads wait.

Each figure is the median step of benchmarks/training_step.py in a process of its own. The ways take
turns, so that whatever else the machine does slows all of them alike. Busy processes compute
without end in one thread each.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from medmask.errors import InputError, command_line_tool
from medmask.utils.files import atomic_write

TOOL = Path(__file__).parent / "training_step.py"
WAYS = {
    "spinning, as PyTorch comes": {"GOMP_SPINCOUNT": "300000"},
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"},
    "as medmask decides": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
"""Environment variables; 300,000 turns is what GNU's OpenMP spins where nothing is set."""

_EXAMPLE = """
example:
  python benchmarks/shared_machine.py --repeats 3 --json output/shared_machine.json
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default="configs/medmask/phantom/source_only.py")
    parser.add_argument("--synthetic", default="256x192", metavar="HxW", help="size of the images")
    parser.add_argument(
        "--busy",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        metavar="N",
        help="numbers of busy processes beside the step (default 0 1 2)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way (default 3)")
    parser.add_argument("--turns", type=int, default=2, help="turns of a run (default 2)")
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn (default 5)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to OUT too")
    return parser


@contextlib.contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _step_seconds(args: argparse.Namespace, way: dict[str, str]) -> float:
    """The median step of one run."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    environment = {k: v for k, v in os.environ.items() if k not in names} | way
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "step.json"
        command = [sys.executable, str(TOOL), "--config-file", args.config_file]
        command += ["--synthetic", args.synthetic, "--repeats", str(args.turns)]
        command += ["--steps", str(args.steps), "--json", str(figures)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise InputError(f"benchmarks/training_step.py failed: {done.stderr.strip()[-500:]}")
        (run,) = json.loads(figures.read_text())["runs"].values()
    return statistics.median(sum(turn.values()) for turn in run["turns"])


@command_line_tool
def main() -> None:
    args = _parser().parse_args()
    if min(args.repeats, args.turns, args.steps) < 1:
        raise InputError("--repeats, --turns and --steps must be at least 1")
    if min(args.busy) < 0 or len(set(args.busy)) < len(args.busy):
        raise InputError("--busy takes different numbers of processes, 0 or more")
    seconds = {name: {busy: [] for busy in args.busy} for name in WAYS}
    turns = list(itertools.product(range(args.repeats), args.busy, WAYS))
    for _, busy, name in tqdm(turns, desc="measuring", unit="run"):
        with _busy_processes(busy):
            seconds[name][busy].append(_step_seconds(args, WAYS[name]))
    rows = [
        [name, *(f"{1e3 * statistics.median(values):.0f}" for values in by_busy.values())]
        for name, by_busy in seconds.items()
    ]
    headers = ["threads", *(f"beside {busy}, ms" for busy in args.busy)]
    print(tabulate(rows, headers, "github", disable_numparse=True))
    if args.json:
        with atomic_write(args.json, "w") as file:
            json.dump(seconds, file, indent=1)


if __name__ == "__main__":
    main()
