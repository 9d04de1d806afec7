#!/usr/bin/env python3
"""Time the implementations of multi-scale deformable attention, and measure their extra memory.

Two entries are timed. "given": sampling locations and attention weights are there, as
torch-ms-deform-attn wants them. "projected": there are reference points, raw offsets and logits, as
a layer's projections leave them; MedMask has an operator for that, all others need PyTorch to make
locations and weights first, and so does MedMask's operator for the given entry.

Implementations: MedMask's compiled operators, the same in plain PyTorch (grid_sample) and, where
they are installed, the packages torch-ms-deform-attn and (on a GPU) deformops, the latter with its
own choice of sums and, for half precision, with sums in float32. MedMask's must first agree with
plain PyTorch in float64; the table tells how far off the packages are. They run in turns, in a new
order each time, so that whatever else the machine does slows all of them down alike; on a GPU each
turn takes inputs that the last ones have driven from the cache, and CUDA events take the time,
between work that is queued before the GPU comes to it. On the CPU the process keeps the memory that
is freed, as a training run does: fresh pages for a result take as long as computing it, and who
gets them would be chance.

Time is the median of the turns. Memory is the most that a run had allocated at any time, results
included, as PyTorch's allocator counts it (on the CPU by PyTorch's profiler): what an extension
allocates by other means is not seen.

The roofline bounds every implementation, by the speeds that this machine is measured to have. To
and from memory move the bytes of each input, read once, and of each result, written once (a
decoder's few queries may leave some of value unread). From the second-level cache come the rows of
the samples, if the first holds none of them: forward, four rows a sample are read; backward, four
are read, and four of gradients read and written, in float32. Multiplications and additions for each
channel of a sample are 8 forward (four corners, scaled and added) and 16 more backward (each corner
scaled and added to the gradient of value, and multiplied with the gradient of the output and
summed).
"""

import argparse
import itertools
from collections.abc import Iterator

import torch
from operator_timing import (
    ENTRIES,
    SHAPES,
    TOLERANCES,
    Candidate,
    Problem,
    implementations,
    measure,
    measure_machine,
    random_problem,
    roofline,
)
from options import make_parser, positive, write_figures
from tabulate import tabulate

from medmask.engine.memory import keep_freed_memory
from medmask.errors import InputError
from medmask.utils.command_line import command_line_tool
from medmask.utils.counts import counted

_EXAMPLES = """\
  python benchmarks/op.py --shape encoder decoder --entry given --backward --json op.json
"""

_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in TOLERANCES}
_ROTATED_BYTES = 256 << 20  # of inputs, more than any GPU's cache holds


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, _EXAMPLES)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=SHAPES, help="default: all")
    parser.add_argument(
        "--entry", nargs="+", choices=ENTRIES, default=ENTRIES, help="default: both"
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
    parser.add_argument("--batch", type=positive, default=1, metavar="N", help="images (default 1)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser


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
        problem = random_problem(shape, entry, options.batch, _DTYPES[dtype], seed=0)
        problems = [Problem(tuple(x.to(device) for x in problem.inputs))]
        if device.type == "cuda":
            count = -(-_ROTATED_BYTES // sum(x.nbytes for x in problem.inputs))
            problems += [problems[0].map(torch.clone) for _ in range(count)]
        for name, operator in implementations(entry, device).items():
            yield Candidate(f"{name}, {dtype}", operator, problems)


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    keep_freed_memory()
    device = torch.device(options.device)
    machine = measure_machine(device)
    results = []
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}")
    print(
        f"{device}, batch {options.batch}, {counted(torch.get_num_threads(), 'thread')}, ", end=""
    )
    print(f"{counted(options.repeats, 'turn')}; {machine.describe()}")
    passes = [False] * options.forward + [True] * options.backward or [False, True]
    for shape, entry, backward in itertools.product(options.shape, options.entry, passes):
        candidates = list(_candidates(shape, entry, options))
        figures = measure(candidates, backward, options.repeats)
        direction = "forward + backward" if backward else "forward"
        print(f"\n### {shape}, {entry}, {direction}\n\n{_table(figures)}\n")
        rooflines = {}
        for dtype in options.dtype:
            (problem, *_) = next(c.problems for c in candidates if c.name.endswith(dtype))
            bounds = rooflines[dtype] = roofline(problem, backward, machine)
            print(
                f"Roofline, {dtype}: {bounds['memory_ms']:.1f} ms for "
                f"{bounds['megabytes']:.0f} MB of memory, {bounds['cache_ms']:.1f} ms for "
                f"{bounds['cache_megabytes']:.0f} MB of cache, {bounds['arithmetic_ms']:.1f} ms "
                f"for {bounds['gigaflop']:.2f} GFLOP."
            )
        run = {"shape": shape, "entry": entry, "passes": direction}
        results.append({**run, "rooflines": rooflines, "figures": figures})
    content = {"device": str(device), "machine": machine._asdict(), "results": results}
    write_figures(options.json, content)


if __name__ == "__main__":
    main()
