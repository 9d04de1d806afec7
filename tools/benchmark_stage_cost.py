#!/usr/bin/env python3
"""Time a training step of a later stage against a step of stage 1 with the same batch size.

A step is everything but loading: forward, backward, clipping, update, with the model, optimizer and
loss hooks of a config; stage 1 is the same without the loss hooks. Images are noise with a lesion
each. The two kinds of step take turns, so that whatever else the machine does slows both alike;
the ratio is that of the medians.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig
from tabulate import tabulate

from medmask.engine import MedMaskTrainer, load_config
from medmask.engine.training import build_model
from medmask.errors import InputError, command_line_tool
from medmask.utils.files import atomic_write

_CONFIG = "configs/medmask/phantom2ffdm/cross_domain.py"
_EXAMPLE = """
examples:
  python tools/benchmark_stage_cost.py --batch-size 4 --turns 31 --json cost.json
  python tools/benchmark_stage_cost.py loss_hooks.masked_autoencoder.masking=aligned
"""


class FixedBatches:
    """A loader that gives one batch again and again."""

    batches_per_epoch = 1000

    def __init__(self, batch: list[dict[str, Any]]) -> None:
        self.batch = batch

    def iterate_from(self, iteration: int) -> Iterator[list[dict[str, Any]]]:
        return itertools.repeat(self.batch)


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


def _make_batch(size: int, height: int, width: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    batch = []
    for _ in range(size):
        instances = Instances((height, width))
        lesion = [0.4 * width, 0.4 * height, 0.6 * width, 0.6 * height]
        instances.gt_boxes = Boxes(torch.tensor([lesion]))
        instances.gt_classes = torch.zeros(1, dtype=torch.int64)
        pixels = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        batch.append({"image": pixels, "instances": instances})
    return batch


def _build_trainers(config: DictConfig, batch: list[dict[str, Any]]) -> dict[str, MedMaskTrainer]:
    """Stage 1 and the stage of the config, on one model."""
    model = build_model(config)
    config.optimizer.params.model = model
    optimizer = instantiate(config.optimizer)
    hooks = []
    for hook in config.loss_hooks.values():
        if "loader" in hook:
            hook.loader = None
        hooks.append(instantiate(hook))
        hooks[-1].loader = FixedBatches(batch)
    return {
        name: MedMaskTrainer(
            model,
            FixedBatches(batch),
            optimizer,
            clip_gradient_norm=config.train.clip_gradient_norm,
            loss_hooks=loss_hooks,
        )
        for name, loss_hooks in (("stage 1", []), ("with loss hooks", hooks))
    }


def _seconds_of_step(trainer: MedMaskTrainer) -> float:
    start = time.perf_counter()
    trainer.before_step()
    trainer.run_step()
    trainer.after_step()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.perf_counter() - start


def _measure(trainers: dict[str, MedMaskTrainer], turns: int) -> dict[str, list[float]]:
    """Seconds of each step; the first turn warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in trainers}
    with EventStorage() as storage:
        for trainer in trainers.values():
            trainer.iter, trainer.start_iter, trainer.max_iter = 0, 0, turns + 2
            trainer.storage = storage
            trainer.before_train()
        for turn in range(turns + 1):
            for name, trainer in trainers.items():
                seconds = _seconds_of_step(trainer)
                if turn:
                    times[name].append(seconds)
    return times


@command_line_tool
def main() -> None:
    options = _parser().parse_intermixed_args()
    if min(options.turns, options.batch_size, *options.size) < 1:
        raise InputError("--turns, --batch-size and --size must be at least 1")
    config = load_config(options.config_file, options.opts)
    if not config.get("loss_hooks"):
        raise InputError(f"{options.config_file} has no loss_hooks: nothing to compare")
    trainers = _build_trainers(config, _make_batch(options.batch_size, *options.size))
    times = _measure(trainers, options.turns)

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
