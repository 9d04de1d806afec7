#!/usr/bin/env python3
"""Time a training step of a config: images per second, where the time goes, peak memory.

A step is everything from the next batch to the update of the weights, with the loss hooks of the
config; weights are fresh. Steps are taken in turns of several, the first turn warms up and does not
count, and each figure is the median over turns of the mean over a turn's steps. With --compare,
several runs take turns, each in a process of its own, so that whatever else the machine does slows
all of them alike:

  grid_sample  deformable attention as it comes, and in plain PyTorch (grid_sample)
  stage-1      the config without its loss hooks, and with them
  gradients    no measurement of each loss's gradient (train.gradient_norm_period), and one in every
               step; what that is of a run, which may be 3%, is printed for the config's period
  waiting      threads that spin while they wait for each other, as PyTorch comes; threads that
               sleep; what medmask decides; and one thread

The time of a GPU is that of its stream, so loading counts only where the GPU waits for it. Peak
memory is what PyTorch had allocated on a GPU; on the CPU it is what the process of the run, which
does nothing else, had resident at once (without the loader's worker processes).
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from options import image_size, make_parser, positive, write_figures

from medmask.utils.command_line import command_line_tool
from medmask.utils.counts import counted

_CONFIG = "configs/medmask/phantom/source_only.py"
_COMPARISONS: dict[str, dict[str, dict[str, Any]]] = {
    "grid_sample": {"medmask": {}, "grid_sample": {"uses_grid_sample": True}},
    "stage-1": {"stage 1": {"has_loss_hooks": False}, "with loss hooks": {}},
    "gradients": {
        "not measured": {"gradient_norm_period": 0},
        "measured in every step": {"gradient_norm_period": 1},
    },
    "waiting": {
        "spinning": {"environment": {"GOMP_SPINCOUNT": "300000"}},  # GNU OpenMP's own default
        "sleeping": {"environment": {"OMP_WAIT_POLICY": "PASSIVE"}},
        "as medmask decides": {},
        "one thread": {"environment": {"OMP_NUM_THREADS": "1"}},
    },
}
"""Name of a run -> what differs from the config's; the others are compared with the first."""
_EXAMPLES = """\
  python benchmarks/training_step.py --repeats 9 --json step.json
  python benchmarks/training_step.py --config-file configs/medmask/ddsm2inbreast/source_only.py \\
      --synthetic 800x1333 --batch-size 1 --steps 1 --compare grid_sample train.device=cpu
  python benchmarks/training_step.py --config-file configs/medmask/phantom2ffdm/teaching.py \\
      --synthetic 256x192 --compare stage-1
  python benchmarks/training_step.py --synthetic 256x192 --compare waiting --busy 1
"""

Figures = dict[str, dict[str, Any]]
"""Name of a run -> ``turns``, the mean seconds of the sections of each, and ``peak_bytes``."""


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, _EXAMPLES)
    parser.add_argument("--config-file", default=_CONFIG, help=f"default {_CONFIG}")
    parser.add_argument("--steps", type=positive, default=5, help="of each turn (default 5)")
    parser.add_argument("--batch-size", type=positive, help="images (default: the config's)")
    parser.add_argument(
        "--synthetic",
        type=image_size,
        metavar="HxW",
        help="noise of H x W pixels with a lesion each, instead of the config's data",
    )
    parser.add_argument("--compare", choices=_COMPARISONS, help="runs to take turns")
    parser.add_argument(
        "--busy", type=int, default=0, metavar="N", help="processes that compute beside the steps"
    )
    parser.add_argument("opts", nargs="*", metavar="KEY=VALUE", help="settings of the config")
    return parser


@contextlib.contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    """Processes that compute without end in one thread each."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _measure(options: argparse.Namespace) -> tuple[dict[str, Any], Figures]:
    """The facts of the first run's process, and the figures of all runs."""
    from step_timing.process import Run, StepProcess  # PyTorch, which --help needs not

    overrides = list(options.opts)
    if options.batch_size is not None:
        overrides.append(f"dataloader.train.total_batch_size={options.batch_size}")
    runs = _COMPARISONS[options.compare] if options.compare else {"medmask": {}}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_busy_processes(options.busy))
        processes = {
            name: stack.enter_context(
                StepProcess(Run(options.config_file, overrides, options.synthetic, **changes))
            )
            for name, changes in runs.items()
        }
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
        for turn in range(options.repeats + 1):
            for name, process in processes.items():
                taken = process.take_steps(options.steps)
                if turn:
                    turns[name].append(_mean(taken))
        figures = {
            name: {"turns": turns[name], "peak_bytes": process.peak_bytes()}
            for name, process in processes.items()
        }
        return next(iter(processes.values())).facts, figures


def _mean(steps: list[dict[str, float]]) -> dict[str, float]:
    sections = {section for step in steps for section in step}
    return {s: statistics.fmean(step.get(s, 0.0) for step in steps) for s in sections}


def _section_ms(run: dict[str, Any], section: str) -> float:
    return 1e3 * statistics.median(turn.get(section, 0.0) for turn in run["turns"])


def _step_ms(run: dict[str, Any]) -> float:
    return 1e3 * statistics.median(sum(turn.values()) for turn in run["turns"])


def _table(figures: Figures, images: int) -> str:
    """Sections, the step, images per second and memory, one column for each run."""
    from step_timing.clock import SECTIONS
    from tabulate import tabulate

    runs = figures.values()
    rows = [
        [f"{section}, ms", *(f"{_section_ms(run, section):.1f}" for run in runs)]
        for section in SECTIONS
    ]
    rows.append(["**step**, ms", *(f"**{_step_ms(run):.1f}**" for run in runs)])
    rows.append(["images per second", *(f"{1e3 * images / _step_ms(run):.2f}" for run in runs)])
    rows.append(["peak memory, MB", *(f"{run['peak_bytes'] / 1e6:.0f}" for run in runs)])
    align = ("left", *["right"] * len(figures))
    return tabulate(rows, ["", *figures], "github", disable_numparse=True, colalign=align)


@command_line_tool
def main() -> None:
    options = _parser().parse_intermixed_args()
    facts, figures = _measure(options)
    print(
        f"{options.config_file}: {counted(facts['images'], 'image')} a step, {facts['device']}, "
        f"{counted(facts['threads'], 'thread')}, {counted(options.repeats, 'turn')} of "
        f"{counted(options.steps, 'step')}, beside "
        f"{counted(options.busy, 'busy process', 'busy processes')}\n"
    )
    print(_table(figures, facts["images"]))
    first, *others = figures
    for name in others:
        ratio = _step_ms(figures[name]) / _step_ms(figures[first])
        print(f"\n{name}: {ratio:.2f} times the step of {first}.")
        period = facts["gradient_norm_period"]
        if options.compare == "gradients" and period:
            share = (ratio - 1) / period
            print(f"Every {period} iterations, as the config has it: {share:.1%} of a run.")
    write_figures(options.json, {**facts, "runs": figures})


if __name__ == "__main__":
    main()
