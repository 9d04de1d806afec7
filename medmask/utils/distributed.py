"""Means and gathered rows over the processes of data-parallel training.

All functions here are collective: every process must call them, in the same order. Where a process
has R objects, each has its own number; R = 0 is legal.
"""

import torch
from detectron2.utils import comm
from torch import Tensor, distributed


@torch.no_grad()
def average_over_processes(values: Tensor) -> Tensor:
    """Average a tensor, of one shape everywhere, over the processes; in place where it can be."""
    if comm.get_world_size() > 1:
        distributed.all_reduce(values)
        values /= comm.get_world_size()
    return values


@torch.no_grad()
def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all processes, in the order of their ranks; gradients do not flow through.

    Args:
        tensors: (R, ...) each, R the same for all of them.

    Returns:
        (sum of R over processes, ...) for each.
    """
    if comm.get_world_size() == 1:
        return tensors
    rows = torch.tensor([len(tensors[0])], device=tensors[0].device)
    gathered = [torch.zeros_like(rows) for _ in range(comm.get_world_size())]
    distributed.all_gather(gathered, rows)
    counts = [int(count) for count in gathered]
    if not any(counts):
        return tensors
    return tuple(_gather_padded(tensor, counts) for tensor in tensors)


def _gather_padded(tensor: Tensor, counts: list[int]) -> Tensor:
    """Gather tensors of ``counts`` rows: a collective wants one size of all."""
    padded = tensor.new_zeros(max(counts), *tensor.shape[1:])
    padded[: len(tensor)] = tensor
    gathered = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(gathered, padded)
    return torch.cat([rows[:count] for rows, count in zip(gathered, counts, strict=True)])


def mean_over_processes(losses: Tensor) -> Tensor:
    """This process's share of the mean over the objects of all processes.

    Data-parallel training averages the gradients of the processes; the average of the shares is the
    mean that one process would compute on all objects. Without any object it is zero, and still
    part of the graph, as every parameter must take part in each step.

    Args:
        losses: (R,).
    """
    count = torch.tensor([len(losses)], dtype=losses.dtype, device=losses.device)
    if comm.get_world_size() > 1:
        distributed.all_reduce(count)
    return losses.sum() / (count[0].clamp(min=1) / comm.get_world_size())
