#!/usr/bin/env python3
"""Time detection by PyTorch and by exported files: images per second of the model alone.

The detector has fresh weights. Sides take turns, so that whatever else the machine does slows all
of them alike; the first turn warms up and does not count, and each figure is the median over turns.
Every side has the same number of threads. Before the turns, the detections of both runtimes are
compared with PyTorch's on a batch of two sizes; if one differs by more than an export allows,
nothing is timed:

  pytorch      the detector with its compiled operator, from the padded batch to detections
  onnxruntime  the exported graph by ONNX Runtime
  openvino     the same by OpenVINO, if that is installed
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from detectron2.config import instantiate
from options import image_size, make_parser, positive, write_figures

from medmask.config import load_config
from medmask.errors import InputError
from medmask.export.graph import OUTPUTS
from medmask.export.parity import TOLERANCE, Arrays, compare, make_batch
from medmask.export.session import GraphSession
from medmask.export.tracing import trace
from medmask.utils.command_line import command_line_tool

_CONFIG = "configs/medmask/phantom/source_only.py"
_EXAMPLES = """\
  python benchmarks/export.py --size 256x192 --json export.json
  python benchmarks/export.py --config-file configs/medmask/inbreast/source_only.py \\
      --size 1024x768 --repeats 5
"""

Run = Callable[[np.ndarray, np.ndarray], object]
"""Detects in images (N, 3, H, W) of given sizes (N, 2)"""

RunGraph = Callable[[np.ndarray, np.ndarray], Arrays]
"""The same, by an exported graph"""


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, _EXAMPLES)
    parser.add_argument("--config-file", default=_CONFIG, help=f"default {_CONFIG}")
    parser.add_argument("--size", type=image_size, default=(256, 192), metavar="HxW")
    parser.add_argument("--batch-size", type=positive, default=1, help="images (default 1)")
    parser.add_argument("--threads", type=positive, default=2, help="of each side (default 2)")
    parser.add_argument("opts", nargs="*", metavar="KEY=VALUE", help="settings of the config")
    return parser


def _pytorch_side(model: torch.nn.Module) -> Run:
    def run(images: np.ndarray, sizes: np.ndarray) -> object:
        with torch.no_grad():
            return model([{"image": image} for image in torch.from_numpy(images)])

    return run


def _openvino_side(content: bytes, num_threads: int) -> RunGraph | None:
    try:
        import openvino
    except ModuleNotFoundError:
        return None
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": num_threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(content), "CPU", settings)
    return lambda images, sizes: tuple(compiled([images, sizes])[name] for name in OUTPUTS)


def _check_agreement(
    model: torch.nn.Module, graphs: dict[str, RunGraph], size: tuple[int, int]
) -> dict[str, float]:
    """The greatest difference of each graph from PyTorch, as an export measures it.

    Raises:
        InputError: one is greater than an export allows.
    """
    height, width = size
    batch = make_batch(model, [size, (max(height * 3 // 4, 1), max(width // 2, 1))])
    differences = {name: compare(run, batch) for name, run in graphs.items()}
    for name, difference in differences.items():
        if not difference <= TOLERANCE:
            raise InputError(
                f"{name} differs from PyTorch by {difference:.2g} on {batch.describe()}, and "
                f"{TOLERANCE:.2g} is allowed: its speed is that of another model"
            )
    return differences


def _time_turns(
    sides: dict[str, Run], images: np.ndarray, sizes: np.ndarray, repeats: int
) -> dict[str, list[float]]:
    """Seconds of each turn of each side, without the first."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats + 1):
        for name, run in sides.items():
            start = time.perf_counter()
            run(images, sizes)
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


@command_line_tool
def main() -> None:
    args = _parser().parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = load_config(args.config_file, [*args.opts, "train.device=cpu"])
    model = instantiate(config.model).eval()
    print("tracing", file=sys.stderr)
    content = trace(model)
    graphs: dict[str, RunGraph] = {
        "onnxruntime": GraphSession(content, "the traced graph", args.threads)
    }
    openvino = _openvino_side(content, args.threads)
    if openvino is None:
        print("openvino is not installed, so it is left out", file=sys.stderr)
    else:
        graphs["openvino"] = openvino
    differences = _check_agreement(model, graphs, args.size)
    sides: dict[str, Run] = {"pytorch": _pytorch_side(model), **graphs}
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (args.batch_size, 3, *args.size)).astype(np.float32)
    sizes = np.array([args.size] * args.batch_size, dtype=np.int64)
    turns = _time_turns(sides, images, sizes, args.repeats)
    medians = {name: statistics.median(values) for name, values in turns.items()}
    print(f"{'side':12} {'images/s':>9} {'ms/image':>9} {'of pytorch':>10} {'difference':>10}")
    for name, value in medians.items():
        each = value / args.batch_size
        speed = medians["pytorch"] / value
        difference = f"{differences[name]:.1e}" if name in differences else ""
        print(f"{name:12} {1 / each:9.2f} {1000 * each:9.1f} {speed:10.2f} {difference:>10}")
    settings = {key: value for key, value in vars(args).items() if key != "json"}
    write_figures(args.json, {"settings": settings, "seconds": turns, "differences": differences})


if __name__ == "__main__":
    main()
