#!/usr/bin/env python3
"""Time a training step of a config: images per second, where the time goes, peak memory.

A step is everything from the next batch to the update of the weights, with the loss hooks of the
config; weights are fresh. Steps are taken in turns of several, the first turn warms up and does not
count, and each figure is the median over turns of the mean over a turn's steps. With --operator
both, two runs take turns, one of which has deformable attention in plain PyTorch (grid_sample).

The time of a GPU is that of its stream, so loading counts only where the GPU waits for it. Peak
memory is what PyTorch had allocated on a GPU; on the CPU it is what the process of the run, which
does nothing else, had resident at once (without the loader's worker processes).
"""

import argparse
import contextlib
import json
import re
import statistics
from pathlib import Path
from typing import Any

import torch
from step_timing.clock import SECTIONS
from step_timing.process import OPERATORS, Seconds, StepProcess, StepProcessOptions
from tabulate import tabulate

from medmask.config.loading import load_config
from medmask.errors import InputError, command_line_tool
from medmask.utils.files import atomic_write

_CONFIG = "configs/medmask/phantom/source_only.py"
_EXAMPLES = """
examples:
  python benchmarks/training_step.py --repeats 9 --json step.json
  python benchmarks/training_step.py --config-file configs/medmask/ddsm2inbreast/source_only.py \\
      --synthetic 800x1333 --batch-size 1 --steps 1 --operator both train.device=cpu
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default=_CONFIG, help=f"default {_CONFIG}")
    parser.add_argument("--batch-size", type=int, help="images of a batch (default: the config's)")
    parser.add_argument(
        "--synthetic",
        type=_image_size,
        metavar="HxW",
        help="noise of H x W pixels with a lesion each, instead of the config's data",
    )
    parser.add_argument(
        "--operator",
        choices=(*OPERATORS, "both"),
        default=OPERATORS[0],
        help=f"deformable attention (default {OPERATORS[0]})",
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns that count (default 5)")
    parser.add_argument("--steps", type=int, default=10, help="of each turn (default 10)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to OUT too")
    parser.add_argument("opts", nargs="*", metavar="KEY=VALUE", help="settings of the config")
    return parser


def _image_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW in pixels, such as 800x1333")
    return int(match[1]), int(match[2])


def _measure(
    runs: dict[str, StepProcessOptions], repeats: int, steps: int
) -> tuple[str, dict[str, dict[str, Any]]]:
    """The device's type, and of each run the seconds of its turns' sections and its peak memory."""
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(StepProcess(run)) for name, run in runs.items()}
        turns: dict[str, list[Seconds]] = {name: [] for name in runs}
        for turn in range(repeats + 1):
            for name, process in processes.items():
                taken = process.take_steps(steps)
                if turn:
                    turns[name].append(_mean(taken))
        figures = {
            name: {"turns": turns[name], "peak_bytes": process.peak_bytes()}
            for name, process in processes.items()
        }
        return next(iter(processes.values())).device, figures


def _mean(steps: list[Seconds]) -> Seconds:
    sections = {section for step in steps for section in step}
    return {s: statistics.fmean(step.get(s, 0.0) for step in steps) for s in sections}


def _section_ms(turns: list[Seconds], section: str) -> float:
    return 1e3 * statistics.median(turn.get(section, 0.0) for turn in turns)


def _step_ms(turns: list[Seconds]) -> float:
    return 1e3 * statistics.median(sum(turn.values()) for turn in turns)


def _table(figures: dict[str, dict[str, Any]], images: int) -> str:
    """Sections, the step, images per second and memory, one column or two for each run."""
    step = {name: _step_ms(run["turns"]) for name, run in figures.items()}
    rows = []
    for section in SECTIONS:
        row = [section]
        for name, run in figures.items():
            own = _section_ms(run["turns"], section)
            row += [f"{own:.1f}", f"{own / step[name]:.0%}"]
        rows.append(row)
    rows.append(["**step**", *(x for ms in step.values() for x in (f"**{ms:.1f}**", ""))])
    speed = (f"{1e3 * images / ms:.2f}" for ms in step.values())
    rows.append(["images per second", *(x for value in speed for x in (value, ""))])
    memory = (f"{run['peak_bytes'] / 1e6:.0f}" for run in figures.values())
    rows.append(["peak memory, MB", *(x for value in memory for x in (value, ""))])
    headers = ["section", *(x for name in figures for x in (f"{name}, ms", "share"))]
    align = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers, "github", disable_numparse=True, colalign=align)


@command_line_tool
def main() -> None:
    options = _parser().parse_intermixed_args()
    if min(options.repeats, options.steps) < 1:
        raise InputError("--repeats and --steps must be at least 1")
    overrides = list(options.opts)
    if options.batch_size is not None:
        overrides.append(f"dataloader.train.total_batch_size={options.batch_size}")
    operators = OPERATORS if options.operator == "both" else (options.operator,)
    runs = {
        operator: StepProcessOptions(options.config_file, overrides, operator, options.synthetic)
        for operator in operators
    }
    config = load_config(options.config_file, overrides)
    images = config.dataloader.train.total_batch_size * config.train.gradient_accumulation
    device, figures = _measure(runs, options.repeats, options.steps)
    print(
        f"{options.config_file}: {images} images a step, {device}, {torch.get_num_threads()} "
        f"threads, {options.repeats} turns of {options.steps} steps\n"
    )
    print(_table(figures, images))
    if options.operator == "both":
        medmask, grid_sample = (_step_ms(run["turns"]) for run in figures.values())
        print(f"\nWith grid_sample a step takes {grid_sample / medmask:.2f} times as long.")
    if options.json:
        content = {"device": device, "images_per_step": images, "runs": figures}
        with atomic_write(options.json, "w") as file:
            json.dump(content, file, indent=1)


if __name__ == "__main__":
    main()
