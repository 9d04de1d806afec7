"""The roofline: bounds on the time of any implementation, from the machine's measured best speeds.

Williams et al., "Roofline: an insightful visual performance model for multicore architectures",
2009; with a second roof for the second-level cache.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from operator_timing.measure import milliseconds
from operator_timing.problems import Problem


class Machine(NamedTuple):
    """The best speeds of a machine, measured with PyTorch's own operators."""

    memory: float
    """bytes a second, copying"""
    cache: float
    """bytes a second, adding arrays that fit the second-level caches"""
    arithmetic: float
    """floating-point operations a second, multiplying matrices"""

    def describe(self) -> str:
        return (
            f"memory {self.memory / 1e9:.0f} GB/s, second-level cache {self.cache / 1e9:.0f} GB/s, "
            f"arithmetic {self.arithmetic / 1e9:.0f} GFLOP/s"
        )


def measure_machine(device: torch.device) -> Machine:
    """Measure the device with all threads that PyTorch uses."""
    large = torch.zeros(2, 32 << 20, device=device)
    matrix = torch.zeros(2, 1536, 1536, device=device)
    product = torch.empty(1536, 1536, device=device)
    return Machine(
        memory=2 * large[0].nbytes / _best_seconds(lambda: large[0].copy_(large[1]), device),
        cache=_measure_cache(device),
        arithmetic=2 * 1536**3 / _best_seconds(lambda: torch.mm(*matrix, out=product), device),
    )


def _measure_cache(device: torch.device) -> float:
    """Bytes a second from the second-level cache: a GPU's one, or those of all threads' cores."""
    rounds, threads = 100, torch.get_num_threads()
    arrays = torch.zeros(3, 2 << 20 if device.type == "cuda" else 48 << 10, device=device)
    torch.set_num_threads(1)  # short work: threads would wait for each other most of the time
    try:
        seconds = _best_seconds(
            lambda: [torch.add(arrays[0], arrays[1], out=arrays[2]) for _ in range(rounds)], device
        )
    finally:
        torch.set_num_threads(threads)
    cores = 1 if device.type == "cuda" else threads
    return cores * rounds * arrays.nbytes / seconds


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    work()
    return min(milliseconds(work, device) for _ in range(9)) / 1000


def roofline(problem: Problem, backward: bool, machine: Machine) -> dict[str, float]:
    """Bytes that must move, operations that must be done, and the milliseconds each takes alone.

    ``megabytes`` go to and from memory if each input is read and each result written exactly once;
    ``cache_megabytes`` are the rows of the samples, if each comes from the second-level cache;
    ``gigaflop`` are multiplications and additions.
    """
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
