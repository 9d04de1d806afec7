"""Time and memory of implementations that take turns, once they are known to be right."""

import itertools
import random
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from medmask.errors import InputError
from medmask.layers import ms_deform_attn_fused_pytorch, ms_deform_attn_pytorch
from operator_timing.implementations import Operator
from operator_timing.problems import Problem

# What a result may be wrong by, relative to its largest element.
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-12, torch.bfloat16: 1e-2, torch.float16: 1e-3}
_QUEUEING_CYCLES = 4_000_000  # of a GPU, about 2 ms
_WARM_UP_TURNS = 3  # on a GPU: its clock rises under load


def _step(operator: Operator, problem: Problem, backward: bool) -> Callable[[], list[Tensor]]:
    """Make the function to time; it gives the output, and the gradients of the leaves."""
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


def _exact_results(problem: Problem, backward: bool) -> list[Tensor]:
    """Compute the results of plain PyTorch in float64."""
    is_projected = len(problem.inputs) == 6
    operator = ms_deform_attn_fused_pytorch if is_projected else ms_deform_attn_pytorch
    return _step(operator, problem.map(Tensor.double), backward)()


def milliseconds(step: Callable[[], object], device: torch.device) -> float:
    """Time a step."""
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


def measure(
    candidates: list[Candidate], backward: bool, repeats: int
) -> dict[str, dict[str, float]]:
    """Time and memory of each candidate.

    Args:
        candidates: their names differ.
        backward: run both passes; else forward alone.
        repeats: turns of each.

    Returns:
        For each name ``median_ms`` and ``fastest_ms`` of the turns, ``megabytes`` (the most that
        a step had allocated at once) and ``error`` (the largest of any result against plain
        PyTorch in float64, relative to the result's largest element).

    Raises:
        InputError: an implementation of ours is wrong.
    """
    steps, errors, exact = {}, {}, {}
    for name, operator, problems in candidates:
        first = problems[0]
        if id(first) not in exact:  # once for all that share the problem
            exact[id(first)] = _exact_results(first, backward)
        steps[name] = [_step(operator, problem, backward) for problem in problems]
        # This warms up, too.
        tolerance = TOLERANCES[first.inputs[0].dtype]
        errors[name] = _check(name, steps[name][0](), exact[id(first)], tolerance)
    del exact
    device = candidates[0].problems[0].inputs[0].device
    times: dict[str, list[float]] = {name: [] for name in steps}
    warm_up = _WARM_UP_TURNS if device.type == "cuda" else 0
    order, generator = list(steps), random.Random(0)
    for turn in range(warm_up + repeats):
        generator.shuffle(order)  # so that nobody always finds the inputs warm in the cache
        for name in order:
            own = steps[name]
            taken = milliseconds(own[turn % len(own)], device)
            if turn >= warm_up:
                times[name].append(taken)
    return {
        name: {
            "median_ms": statistics.median(times[name]),
            "fastest_ms": min(times[name]),
            "megabytes": _peak_bytes(own[0], device) / 1e6,
            "error": errors[name],
        }
        for name, own in steps.items()
    }
