#!/usr/bin/env python3
"""Time a training step of a later stage against a step of stage 1 with the same batch size.

A step is everything but loading: forward, backward, clipping, update, with the model, optimizer and
loss hooks of a config; stage 1 is the same without the loss hooks. Images are noise with a lesion
each. The two kinds of step take turns, so that whatever else the machine does slows both alike;
the ratio is that of the medians.
"""

import argparse
import copy
import json
import statistics
import time
from pathlib import Path

import torch
from omegaconf import DictConfig
from step_timing.benchmark import ready_to_step, use_random_images
from tabulate import tabulate

from medmask.config import load_config
from medmask.engine import MedMaskTrainer
from medmask.engine.run import build_model, build_trainer
from medmask.errors import InputError, command_line_tool
from medmask.utils.files import atomic_write

_CONFIG = "configs/medmask/phantom2ffdm/cross_domain.py"
_EXAMPLE = """
examples:
  python benchmarks/stage_cost.py --batch-size 4 --turns 31 --json cost.json
  python benchmarks/stage_cost.py loss_hooks.masked_autoencoder.masking=aligned
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default=_CONFIG, help=f"of the stage (default {_CONFIG})")
    parser.add_argument(
        "--batch-size", type=int, default=8, help="images of each batch (default 8)"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(256, 192),
        metavar=("H", "W"),
        help="of the images in pixels (default 256 192)",
    )
    parser.add_argument("--turns", type=int, default=15, help="steps of each kind (default 15)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to OUT too")
    parser.add_argument("opts", nargs="*", metavar="KEY=VALUE", help="settings of the config")
    return parser


def _build_trainers(config: DictConfig) -> dict[str, MedMaskTrainer]:
    """Stage 1 and the stage of the config, on one model."""
    model = build_model(config)
    stage_1 = copy.deepcopy(config)
    stage_1.loss_hooks = {}
    return {
        "stage 1": build_trainer(stage_1, model),
        "with loss hooks": build_trainer(config, model),
    }


def _measure(trainers: dict[str, MedMaskTrainer], turns: int) -> dict[str, list[float]]:
    """Seconds of each step; the first turn warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in trainers}
    with ready_to_step(list(trainers.values()), max_iter=turns + 2) as take_step:
        for turn in range(turns + 1):
            for name, trainer in trainers.items():
                start = time.perf_counter()
                take_step(trainer)
                if turn:
                    times[name].append(time.perf_counter() - start)
    return times


@command_line_tool
def main() -> None:
    options = _parser().parse_intermixed_args()
    if min(options.turns, options.batch_size, *options.size) < 1:
        raise InputError("--turns, --batch-size and --size must be at least 1")
    config = load_config(options.config_file, options.opts)
    if not config.get("loss_hooks"):
        raise InputError(f"{options.config_file} has no loss_hooks: nothing to compare")
    config.dataloader.train.total_batch_size = options.batch_size
    config.train.eval_period = 0  # no pictures of reconstructions on the way
    use_random_images(config, *options.size)
    times = _measure(_build_trainers(config), options.turns)

    medians = {name: statistics.median(values) for name, values in times.items()}
    base, stage = medians.values()
    rows = [(name, 1e3 * medians[name], 1e3 * min(times[name])) for name in times]
    height, width = options.size
    print(f"{options.batch_size} images of {height} x {width}, {torch.get_num_threads()} threads")
    print(tabulate(rows, ("step", "median ms", "fastest ms"), "github", floatfmt=".1f"))
    print(f"Ratio of the medians: {stage / base:.2f}")
    if options.json:
        with atomic_write(options.json, "w") as file:
            json.dump({"seconds": times, "ratio": stage / base}, file, indent=1)


if __name__ == "__main__":
    main()
