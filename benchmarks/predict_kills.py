#!/usr/bin/env python3
"""Kill `medmask predict` at random moments, restart it, merge, and count what is lost or doubled.

Several shards of a manifest are predicted on at a time, each with workers that read ahead. Whole
trees of processes are killed by SIGKILL: at any moment from the start on, or just after some images
were finished; and so is the merge. Then all shards run to their end, and are merged. Exit status 1
if an image is lost, doubled, predicted on again although it was finished, or has other detections
than in a run that nothing stopped.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from options import positive, write_figures
from prediction_kills.inputs import make_inputs
from prediction_kills.killed_run import FAULTS, KilledRun
from prediction_kills.process_tree import ProcessTree

from medmask.utils.command_line import command_line_tool

_EXAMPLES = """
examples:
  python benchmarks/predict_kills.py
  python benchmarks/predict_kills.py --kills 200 --shards 4 --workers 2 --json kills.json
"""
_KILLS_OF_A_PASS = 12  # after so many all shards run to their end, and another pass begins


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, default, text in (
        ("--kills", 20, "how many, of shards"),
        ("--shards", 2, "that run at a time"),
        ("--workers", 1, "of each shard"),
        ("--images", 60, "of the manifest"),
    ):
        told = f"{text} (default {default})"
        parser.add_argument(name, type=positive, default=default, metavar="N", help=told)
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the counts to OUT too")
    return parser


@command_line_tool
def main() -> int:
    options = _parser().parse_args()
    torch.set_num_threads(1)
    draw = random.Random(options.seed)
    totals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = make_inputs(folder, options.images, options.seed)
        whole = ProcessTree(
            inputs.arguments(folder / "whole", "--workers", 0), folder / "whole.log"
        )
        whole.wait()
        usual_seconds = time.monotonic() - whole.start
        expected = (folder / "whole" / "detections.json").read_bytes()
        while totals["kills"] < options.kills:
            each = KilledRun(
                inputs,
                folder / f"pass{totals['passes']}",
                draw,
                options.shards,
                options.workers,
            )
            kills = min(_KILLS_OF_A_PASS, options.kills - totals["kills"])
            each.kill_shards(kills, usual_seconds)
            each.finish()
            each.check(expected)
            totals.update(each.counts)
            totals["passes"] += 1
            print(f"{totals['kills']} of {options.kills} kills", file=sys.stderr)
    counts = {key: totals[key] for key in (*(k for k in totals if k not in FAULTS), *FAULTS)}
    for key, count in counts.items():
        print(f"{key:40} {count:5}")
    write_figures(options.json, counts)
    return int(any(totals[key] for key in FAULTS))


if __name__ == "__main__":
    main()
