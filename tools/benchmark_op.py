#!/usr/bin/env python3
"""Time the implementations of multi-scale deformable attention, and measure their extra memory.

Two entries are timed. "given": sampling locations and attention weights are there, as
torch-ms-deform-attn wants them. "projected": there are reference points, raw offsets and logits, as
a layer's projections leave them; MedMask has an operator for that, all others need PyTorch to make
locations and weights first, and so does MedMask's operator for the given entry.

Implementations: MedMask's compiled operators, the same in plain PyTorch (grid_sample) and, where
they are installed, the packages torch-ms-deform-attn and (on a GPU) deformops, the latter with its
own choice of sums and, for half precision, with sums in float32. MedMask's must first agree with
plain PyTorch in float64; the table tells how far off the packages are. They run in turns, so that
whatever else the machine does slows all of them down alike; on a GPU each turn takes inputs that
the last ones have driven from the cache, and CUDA events take the time, between work that is queued
before the GPU comes to it.

Time is the median of the turns. Memory is the most that a run had allocated at any time, results
included, as PyTorch's allocator counts it (on the CPU by PyTorch's profiler): what an extension
allocates by other means is not seen.

The floor under every implementation, from what this machine is measured to do: the bytes that move
to and from memory when each input is read and each result is written exactly once (a decoder's few
queries may leave some of value unread); the bytes that the samples' rows take from the second-level
cache, if the first holds none of them (forward: four rows a sample are read; backward: four rows
are read, and four of gradients read and written, in float32); and the multiplications and additions
for each channel of a sample: 8 forward (four corners, scaled and added), 16 more backward (each
corner scaled and added to the gradient of value, and multiplied with the gradient of the output and
summed).
"""

import argparse
import importlib
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from tabulate import tabulate
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from medmask.errors import InputError, command_line_tool
from medmask.layers import (
    available_implementations,
    ms_deform_attn,
    ms_deform_attn_fused,
    ms_deform_attn_fused_pytorch,
    ms_deform_attn_pytorch,
)
from medmask.utils.files import atomic_write

_EXAMPLE = """
example:
  python tools/benchmark_op.py --shape encoder decoder --entry given --backward --json op.json
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
_ENTRIES = ("given", "projected")
_ROTATED_BYTES = 256 << 20  # of inputs, more than any GPU's cache holds
_QUEUEING_CYCLES = 4_000_000  # of a GPU, about 2 ms
_WARM_UP_TURNS = 3  # on a GPU: its clock rises under load

Operator = Callable[..., Tensor]


class Problem(NamedTuple):
    """Arguments of an operator: (value, spatial_shapes, level_start_index, *samples)."""

    inputs: tuple[Tensor, ...]

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """What is differentiated: all but the shapes, the start indices and the references."""
        value, _, _, *samples = self.inputs
        return (value, *samples[-2:])

    def to(self, function: Callable[[Tensor], Tensor]) -> "Problem":
        return Problem(tuple(function(x) if x.is_floating_point() else x for x in self.inputs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", nargs="+", choices=_SHAPES, default=_SHAPES, help="default: all")
    parser.add_argument(
        "--entry", nargs="+", choices=_ENTRIES, default=_ENTRIES, help="default: both"
    )
    parser.add_argument("--forward", action="store_true", help="measure forward alone")
    parser.add_argument("--backward", action="store_true", help="both passes (default: both ways)")
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=_DTYPES,
        default=["float32"],
        help="of value; several take turns",
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images (default 1)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each (default 9)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to OUT too")
    return parser


# --- implementations ---


def _implementations(entry: str, device: torch.device) -> dict[str, Operator]:
    given: dict[str, Operator] = {"plain PyTorch": ms_deform_attn_pytorch}
    if device.type in available_implementations():
        given = {"MedMask": ms_deform_attn, **given}
    given |= _peers(device)
    if entry == "given":
        return given
    projected = {name: _from_projections(operator) for name, operator in given.items()}
    projected["plain PyTorch"] = ms_deform_attn_fused_pytorch
    if "MedMask" in projected:
        projected["MedMask, given entry"] = projected.pop("MedMask")
        projected = {"MedMask": ms_deform_attn_fused, **projected}
    return projected


def _peers(device: torch.device) -> dict[str, Operator]:
    """The packages that are installed."""
    found = {}
    try:
        operator = importlib.import_module("torch_ms_deform_attn").ms_deform_attn
        found["torch-ms-deform-attn"] = _widened(operator)
    except ImportError:
        pass
    if device.type == "cuda":
        try:
            registry = importlib.import_module("deformops.registry")
            found["deformops"] = _with_weights_as_value(registry.msda)
            in_float32 = {"backend": registry.Backend.TRITON, "fp32acc": True}
            found["deformops, float32 sums"] = _with_weights_as_value(registry.msda, **in_float32)
        except ImportError:
            pass
    return found


def _with_weights_as_value(operator: Operator, **options: object) -> Operator:
    """For an operator that wants attention weights in value's dtype."""

    def run(value: Tensor, *others: Tensor) -> Tensor:
        *geometry, weights = others
        return operator(value, *geometry, weights.to(value.dtype), **options)

    return run


def _widened(operator: Operator) -> Operator:
    """For an operator that wants one dtype for all: half precision would blur the locations."""

    def run(value: Tensor, *others: Tensor) -> Tensor:
        wide = torch.promote_types(value.dtype, torch.float32)
        return operator(value.to(wide), *others).to(value.dtype)

    return run


def _from_projections(operator: Operator) -> Operator:
    """An operator for given samples, after what PyTorch needs to make these."""

    def run(
        value: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        reference_points: Tensor,
        sampling_offsets: Tensor,
        attention_logits: Tensor,
    ) -> Tensor:
        N, Q, M, L, P, _ = sampling_offsets.shape
        # Loops over two numbers are slow: points are unrolled first.
        cell = (1 / spatial_shapes.flip(-1).to(reference_points.dtype)).repeat_interleave(P, 0)
        centres = reference_points[..., None, :].expand(-1, -1, -1, P, -1).flatten(2)[:, :, None]
        locations = centres + sampling_offsets.flatten(3).to(centres.dtype) * cell.flatten()
        weights = attention_logits.flatten(3).to(centres.dtype).softmax(-1)
        return operator(
            value,
            spatial_shapes,
            level_start_index,
            locations.view(N, Q, M, L, P, 2),
            weights.view(N, Q, M, L, P),
        )

    return run


# --- problems ---


def _random_problem(shape: str, entry: str, batch: int, dtype: torch.dtype, seed: int) -> Problem:
    """Every query looks around the centre of a token, as in an encoder, some pixels wide.

    No location is near the line between two pixels, where the gradient of a location jumps and
    rounding would choose the side.
    """
    levels, num_queries = _SHAPES[shape]
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(levels)
    areas = sizes.prod(1)
    value = torch.randn(batch, int(areas.sum()), _HEADS, _CHANNELS, generator=generator)
    centres = torch.cat([_centres(h, w) for h, w in levels])
    if num_queries < len(centres):
        centres = centres[torch.randperm(len(centres), generator=generator)[:num_queries]]
    layout = (batch, num_queries, _HEADS, len(levels), _POINTS)
    extent = sizes.flip(1)[:, None]  # (L, 1, 2) as (w, h)
    pixels = centres[:, None, None, None] * extent - 0.5
    pixels = (pixels + 2 * torch.randn(*layout, 2, generator=generator)).floor()
    pixels += 0.1 + 0.8 * torch.rand(pixels.shape, generator=generator)
    logits = torch.randn(layout, generator=generator)
    common = (value.to(dtype), sizes, areas.cumsum(0) - areas)
    wide = torch.promote_types(dtype, torch.float32)
    if entry == "given":
        weights = logits.flatten(3).softmax(-1).view(layout)
        return Problem((*common, ((pixels + 0.5) / extent).to(wide), weights.to(wide)))
    references = centres[:, None].expand(batch, -1, len(levels), -1).contiguous()
    offsets = pixels + 0.5 - references[:, :, None, :, None] * extent
    return Problem((*common, references.to(wide), offsets.to(dtype), logits.to(dtype)))


def _centres(height: int, width: int) -> Tensor:
    """(height * width, 2): (x, y) in [0, 1] of the centre of each pixel of a map."""
    ys, xs = (torch.arange(size).add(0.5).div(size) for size in (height, width))
    return torch.cartesian_prod(ys, xs).flip(1)


def _step(operator: Operator, problem: Problem, backward: bool) -> Callable[[], list[Tensor]]:
    """What is timed; it gives the output, and the gradients of what can be learnt."""
    leaves = [x.detach().requires_grad_(backward) for x in problem.leaves]
    _, sizes, starts, *samples = problem.inputs
    inputs = (leaves[0], sizes, starts, *samples[:-2], *leaves[1:])
    channels = torch.linspace(-1, 1, leaves[0][0, 0].numel()).to(leaves[0])
    grad_output = channels.repeat(len(leaves[0]), leaves[1].shape[1], 1)

    def step() -> list[Tensor]:
        output = operator(*inputs)
        if not backward:
            return [output]
        return [output.detach(), *torch.autograd.grad(output, leaves, grad_output)]

    return step


# --- measuring ---


def _check(name: str, results: list[Tensor], exact: list[Tensor], tolerance: float) -> float:
    """The largest error of a result, relative to its largest element. Our own must be right."""
    kinds = ("output", "gradient of value", "gradient of locations", "gradient of weights")
    errors = []
    for kind, result, expected in zip(kinds, results, exact, strict=False):
        error = float((result.double() - expected).abs().max() / expected.abs().max())
        if name.startswith("MedMask") and not error <= tolerance:
            raise InputError(
                f"{name}: the {kind} differs from plain PyTorch in float64 by {error:.2g} of its "
                f"largest element, more than {tolerance:g}; repair it before timing it"
            )
        errors.append(error)
    return max(errors)


def _milliseconds(step: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        # The GPU waits until the step is queued: else a short one takes as long as its launches.
        torch.cuda._sleep(_QUEUEING_CYCLES)
        start.record()
        step()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)
    begin = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - begin)


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


class Candidate(NamedTuple):
    """An implementation and what it is timed on: the same problem in different places in memory."""

    name: str
    operator: Operator
    problems: list[Problem]


def _measure(
    candidates: list[Candidate], backward: bool, repeats: int
) -> dict[str, dict[str, float]]:
    """Milliseconds and megabytes of each candidate; those that are wrong are refused."""
    steps, errors = {}, {}
    for name, operator, problems in candidates:
        value = problems[0].inputs[0]
        steps[name] = [_step(operator, problem, backward) for problem in problems]
        exact_operator = ms_deform_attn_pytorch
        if len(problems[0].inputs) == 6:
            exact_operator = ms_deform_attn_fused_pytorch
        exact = _step(exact_operator, problems[0].to(Tensor.double), backward)()
        # This warms up, too.
        errors[name] = _check(name, steps[name][0](), exact, _TOLERANCES[value.dtype])
        del exact
    device = candidates[0].problems[0].inputs[0].device
    times: dict[str, list[float]] = {name: [] for name in steps}
    warm_up = _WARM_UP_TURNS if device.type == "cuda" else 0
    for turn in range(warm_up + repeats):
        for name, own in steps.items():
            milliseconds = _milliseconds(own[turn % len(own)], device)
            if turn >= warm_up:
                times[name].append(milliseconds)
    return {
        name: {
            "median_ms": statistics.median(times[name]),
            "fastest_ms": min(times[name]),
            "megabytes": _peak_bytes(own[0], device) / 1e6,
            "error": errors[name],
        }
        for name, own in steps.items()
    }


# --- the floor ---


class Machine(NamedTuple):
    """What the machine does at its best, as measured with PyTorch's own operators."""

    memory: float  # bytes a second, copying
    cache: float  # bytes a second, adding arrays that fit the second-level caches
    arithmetic: float  # floating-point operations a second, multiplying matrices

    def describe(self) -> str:
        return (
            f"memory {self.memory / 1e9:.0f} GB/s, second-level cache {self.cache / 1e9:.0f} GB/s, "
            f"arithmetic {self.arithmetic / 1e9:.0f} GFLOP/s"
        )


def _machine(device: torch.device) -> Machine:
    large = torch.zeros(2, 32 << 20, device=device)
    count = (2 << 20) if device.type == "cuda" else (48 << 10) * torch.get_num_threads()
    small = torch.zeros(3, count, device=device)
    matrix = torch.zeros(2, 1536, 1536, device=device)
    product = torch.empty(1536, 1536, device=device)
    times = []
    for work in (
        lambda: large[0].copy_(large[1]),
        lambda: [torch.add(small[0], small[1], out=small[2]) for _ in range(100)],
        lambda: torch.mm(matrix[0], matrix[1], out=product),
    ):
        work()
        times.append(min(_milliseconds(work, device) for _ in range(9)) / 1000)
    return Machine(2 * large[0].nbytes / times[0], 100 * small.nbytes / times[1],
                   2 * 1536**3 / times[2])  # fmt: skip


def _floor(problem: Problem, backward: bool, machine: Machine) -> dict[str, float]:
    value, samples = problem.inputs[0], problem.leaves[2]
    output = value[0, 0].numel() * samples.shape[0] * samples.shape[1] * value.element_size()
    read = sum(tensor.nbytes for tensor in problem.inputs)
    moved = read + output  # forward; backward, all that again, and a gradient of each input
    channels = samples.numel() * value.shape[-1]
    rows = 4 * channels * value.element_size()
    if backward:
        moved += read + output + sum(tensor.nbytes for tensor in problem.leaves)
        rows += rows + 2 * 4 * channels * max(4, value.element_size())
    operations = channels * (24 if backward else 8)
    return {
        "megabytes": moved / 1e6,
        "cache_megabytes": rows / 1e6,
        "gigaflop": operations / 1e9,
        "memory_ms": 1000 * moved / machine.memory,
        "cache_ms": 1000 * rows / machine.cache,
        "arithmetic_ms": 1000 * operations / machine.arithmetic,
    }


# --- reporting ---


def _table(figures: dict[str, dict[str, float]]) -> str:
    rows = []
    first = next(iter(figures.values()))["median_ms"]
    for name, own in figures.items():
        numbers = [f"{own[key]:.2f}" for key in ("median_ms", "fastest_ms")]
        numbers.append(f"{own['megabytes']:.1f}")
        rows.append([name, *numbers, f"{own['error']:.1e}", f"{own['median_ms'] / first:.2f}"])
    headers = (
        "implementation",
        "median ms",
        "fastest ms",
        "extra MB",
        "error",
        f"times {next(iter(figures))}",
    )
    align = ("left", *["right"] * 5)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)


def _candidates(shape: str, entry: str, options: argparse.Namespace) -> Iterator[Candidate]:
    device = torch.device(options.device)
    for dtype in options.dtype:
        problem = _random_problem(shape, entry, options.batch, _DTYPES[dtype], seed=0)
        problems = [Problem(tuple(x.to(device) for x in problem.inputs))]
        if device.type == "cuda":
            count = -(-_ROTATED_BYTES // sum(x.nbytes for x in problem.inputs))
            problems += [problems[0].to(torch.clone) for _ in range(count)]
        for name, operator in _implementations(entry, device).items():
            yield Candidate(f"{name}, {dtype}", operator, problems)


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    for name in ("repeats", "batch"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1, but is {getattr(options, name)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    device = torch.device(options.device)
    machine = _machine(device)
    results = []
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}")
    print(f"{device}, batch {options.batch}, {torch.get_num_threads()} threads, ", end="")
    print(f"{options.repeats} turns; {machine.describe()}")
    passes = [False] * options.forward + [True] * options.backward or [False, True]
    for shape, entry, backward in itertools.product(options.shape, options.entry, passes):
        candidates = list(_candidates(shape, entry, options))
        figures = _measure(candidates, backward, options.repeats)
        direction = "forward + backward" if backward else "forward"
        print(f"\n### {shape}, {entry}, {direction}\n\n{_table(figures)}\n")
        floors = {}
        for dtype in options.dtype:
            (problem, *_) = next(c.problems for c in candidates if c.name.endswith(dtype))
            floor = floors[dtype] = _floor(problem, backward, machine)
            print(
                f"Floor, {dtype}: {floor['memory_ms']:.1f} ms for {floor['megabytes']:.0f} MB of "
                f"memory, {floor['cache_ms']:.1f} ms for {floor['cache_megabytes']:.0f} MB of "
                f"cache, {floor['arithmetic_ms']:.1f} ms for {floor['gigaflop']:.2f} GFLOP."
            )
        run = {"shape": shape, "entry": entry, "passes": direction}
        results.append({**run, "floors": floors, "figures": figures})
    if options.json:
        content = {"device": str(device), "machine": machine._asdict(), "results": results}
        with atomic_write(options.json, "w") as file:
            json.dump(content, file, indent=1)


if __name__ == "__main__":
    main()
