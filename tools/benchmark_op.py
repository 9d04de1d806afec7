#!/usr/bin/env python3
"""Time the implementations of multi-scale deformable attention, and measure their extra memory.

Implementations: MedMask's compiled operator, the same in plain PyTorch (grid_sample) and, where it
is installed, the package torch-ms-deform-attn. Each must first agree with plain PyTorch in float64.
They run in turns, so that whatever else the machine does slows all of them down alike.

Time is the median of the turns. Memory is the most that a run had allocated at any time, results
included, as PyTorch's allocator counts it (on the CPU by PyTorch's profiler): what an extension
allocates by other means is not seen.

The floor under every implementation: the bytes that move when each input is read and each result is
written exactly once (a decoder's few queries may leave some of value unread), and the
multiplications and additions for each channel of a sample: 8 forward (four corners, scaled and
added), 16 more backward (each corner scaled and added to the gradient of value, and multiplied with
the gradient of the output and summed).
"""

import argparse
import importlib
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from medmask.errors import InputError, command_line_tool
from medmask.layers import available_implementations, ms_deform_attn, ms_deform_attn_pytorch
from medmask.utils.files import atomic_write

_EXAMPLE = """
example:
  python tools/benchmark_op.py --shape encoder decoder --backward --dtype float32 --json op.json
"""

_FULL = ((100, 167), (50, 84), (25, 42), (13, 21))
_SMALL = ((32, 32), (16, 16), (8, 8), (4, 4))
_HEADS, _CHANNELS, _POINTS = 8, 32, 4
_SHAPES = {  # levels, number of queries
    "encoder": (_FULL, sum(h * w for h, w in _FULL)),
    "decoder": (_FULL, 300),
    "small-encoder": (_SMALL, sum(h * w for h, w in _SMALL)),
}
# What a result may be wrong by, relative to its largest element.
_TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-12, torch.bfloat16: 1e-2, torch.float16: 1e-3}
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in _TOLERANCES}
_PEER = "torch_ms_deform_attn"

Operator = Callable[..., Tensor]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", nargs="+", choices=_SHAPES, default=_SHAPES, help="default: all")
    parser.add_argument("--forward", action="store_true", help="measure forward alone")
    parser.add_argument("--backward", action="store_true", help="both passes (default: both ways)")
    parser.add_argument("--dtype", choices=_DTYPES, default="float32", help="of value")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each (default 9)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to OUT too")
    return parser


def _implementations(device: torch.device) -> dict[str, Operator]:
    found: dict[str, Operator] = {"plain PyTorch": ms_deform_attn_pytorch}
    if device.type in available_implementations():
        found = {"MedMask": ms_deform_attn, **found}
    try:
        found[_PEER] = _widened(importlib.import_module(_PEER).ms_deform_attn)
    except ImportError:
        print(f"{_PEER} cannot be imported: it is left out\n")
    return found


def _widened(operator: Operator) -> Operator:
    """For an operator that wants one dtype for all: half precision would blur the locations."""

    def run(value: Tensor, *others: Tensor) -> Tensor:
        wide = torch.promote_types(value.dtype, torch.float32)
        return operator(value.to(wide), *others).to(value.dtype)

    return run


def _random_inputs(shape: str, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """Every query looks around the centre of a token, as in an encoder, some pixels wide.

    No location is near the line between two pixels, where the gradient of a location jumps and
    rounding would choose the side.
    """
    levels, num_queries = _SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor(levels)
    areas = sizes.prod(1)
    value = torch.randn(1, int(areas.sum()), _HEADS, _CHANNELS, generator=generator)
    centres = torch.cat([_centres(h, w) for h, w in levels])
    if num_queries < len(centres):
        centres = centres[torch.randperm(len(centres), generator=generator)[:num_queries]]
    layout = (1, num_queries, _HEADS, len(levels), _POINTS)
    extent = sizes.flip(1)[:, None]  # (L, 1, 2) as (w, h)
    pixels = centres[:, None, None, None] * extent - 0.5
    pixels = (pixels + 2 * torch.randn(*layout, 2, generator=generator)).floor()
    pixels += 0.1 + 0.8 * torch.rand(pixels.shape, generator=generator)
    locations = (pixels + 0.5) / extent
    weights = torch.randn(layout, generator=generator).flatten(3).softmax(-1).view(layout)
    wide = torch.promote_types(dtype, torch.float32)
    inputs = [value.to(dtype), sizes, areas.cumsum(0) - areas, locations.to(wide), weights.to(wide)]
    return [tensor.to(device) for tensor in inputs]


def _centres(height: int, width: int) -> Tensor:
    """(height * width, 2): (x, y) in [0, 1] of the centre of each pixel of a map."""
    ys, xs = (torch.arange(size).add(0.5).div(size) for size in (height, width))
    return torch.cartesian_prod(ys, xs).flip(1)


def _step(operator: Operator, inputs: list[Tensor], backward: bool) -> Callable[[], list[Tensor]]:
    """What is timed; it gives the output, and the gradients of value, locations and weights."""
    value, sizes, starts, locations, weights = inputs
    leaves = [x.detach().requires_grad_(backward) for x in (value, locations, weights)]
    channels = torch.linspace(-1, 1, value[0, 0].numel()).to(value)
    grad_output = channels.repeat(len(value), locations.shape[1], 1)

    def step() -> list[Tensor]:
        output = operator(leaves[0], sizes, starts, *leaves[1:])
        if not backward:
            return [output]
        return [output.detach(), *torch.autograd.grad(output, leaves, grad_output)]

    return step


def _check(name: str, results: list[Tensor], exact: list[Tensor], tolerance: float) -> None:
    kinds = ("output", "gradient of value", "gradient of locations", "gradient of weights")
    for kind, result, expected in zip(kinds, results, exact, strict=False):
        error = float((result.double() - expected).abs().max() / expected.abs().max())
        if not error <= tolerance:
            raise InputError(
                f"{name}: the {kind} differs from plain PyTorch in float64 by {error:.2g} of its "
                f"largest element, more than {tolerance:g}; repair it before timing it"
            )


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """The most that was allocated at any time during a step, beyond what was before it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    activities = [ProfilerActivity.CPU]
    with profile(activities=activities, profile_memory=True, acc_events=True) as profiler:
        results = step()
    del results  # kept until here, so that the results count
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate((event.nbytes() for event in events), initial=0))


def _floor(inputs: list[Tensor], backward: bool) -> dict[str, float]:
    value, _, _, locations, weights = inputs
    output = value[0, 0].numel() * locations.shape[1] * value.element_size()
    read = sum(tensor.numel() * tensor.element_size() for tensor in inputs)
    floating = sum(x.numel() * x.element_size() for x in (value, locations, weights))
    moved = read + output  # forward; backward, all that again, and a gradient of each input
    moved += (read + output + floating) if backward else 0
    operations = weights.numel() * value.shape[-1] * (24 if backward else 8)
    return {"megabytes": moved / 1e6, "gigaflop": operations / 1e9}


def _measure(
    operators: dict[str, Operator], inputs: list[Tensor], backward: bool, repeats: int
) -> dict[str, dict[str, float]]:
    """Milliseconds and megabytes of each implementation; those that are wrong are refused."""
    device = inputs[0].device
    exact_inputs = [x.double() if x.is_floating_point() else x for x in inputs]
    exact = _step(ms_deform_attn_pytorch, exact_inputs, backward)()
    steps = {name: _step(operator, inputs, backward) for name, operator in operators.items()}
    for name, step in steps.items():  # this warms up, too
        _check(name, step(), exact, _TOLERANCES[inputs[0].dtype])
    del exact
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            times[name].append(1000 * _seconds(step, device))
    return {
        name: {
            "median_ms": statistics.median(times[name]),
            "fastest_ms": min(times[name]),
            "megabytes": _peak_bytes(step, device) / 1e6,
        }
        for name, step in steps.items()
    }


def _table(figures: dict[str, dict[str, float]]) -> str:
    rows = []
    for name, own in figures.items():
        rivals = [other["median_ms"] for rival, other in figures.items() if rival != name]
        gain = f"{min(rivals) / own['median_ms']:.2f}" if rivals else "-"
        numbers = (f"{own[key]:.1f}" for key in ("median_ms", "fastest_ms", "megabytes"))
        rows.append([name, *numbers, gain])
    headers = ("implementation", "median ms", "fastest ms", "extra MB", "speed-up on best rival")
    align = ("left", *["right"] * 4)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    if options.repeats < 1:
        raise InputError(f"--repeats must be at least 1, but is {options.repeats}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    device, dtype = torch.device(options.device), _DTYPES[options.dtype]
    passes = [False] * options.forward + [True] * options.backward or [False, True]
    operators = _implementations(device)
    results = []
    print(f"{device}, {options.dtype}, {torch.get_num_threads()} threads, {options.repeats} turns")
    for shape, backward in itertools.product(options.shape, passes):
        inputs = _random_inputs(shape, dtype, device)
        direction = "forward + backward" if backward else "forward"
        floor = _floor(inputs, backward)
        figures = _measure(operators, inputs, backward, options.repeats)
        print(f"\n### {shape}, {direction}\n\n{_table(figures)}\n")
        print(f"Floor: {floor['megabytes']:.1f} MB to move, {floor['gigaflop']:.2f} GFLOP.")
        results.append({"shape": shape, "passes": direction, "floor": floor, "figures": figures})
    if options.json:
        content = {"device": str(device), "dtype": options.dtype, "results": results}
        with atomic_write(options.json, "w") as file:
            json.dump(content, file, indent=1)


if __name__ == "__main__":
    main()
