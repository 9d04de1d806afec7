"""Broadcast of buffers, so that all processes have the same."""

from collections import defaultdict

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import distributed, nn


class BufferBroadcast(HookBase):
    """Gives all processes the first one's buffers, such as BatchNorm statistics, in every step.

    It acts after the backward pass, so averages of weights, evaluations and checkpoints, which
    come later in the step, see the same model everywhere. ``DistributedDataParallel`` could do it
    before each forward pass instead, but that breaks a step of several forward passes: it changes
    buffers that the backward pass of an earlier one still needs.

    BatchNorm that is trained sees other statistics than in one process all the same. Each process
    normalizes by the mean and variance of its own part of the batch, so the gradients, too, are not
    those of one process on the whole batch; and what is kept of the running statistics is what the
    first process saw. With FrozenBN (the full-size ResNet-50) several processes train like one.
    """

    def after_backward(self) -> None:
        if comm.get_world_size() > 1:
            broadcast_buffers(self.trainer.detector)


@torch.no_grad()
def broadcast_buffers(model: nn.Module) -> None:
    """Overwrite the model's buffers by those of the first process."""
    by_type = defaultdict(list)
    for buffer in model.buffers():
        by_type[buffer.dtype].append(buffer)
    for buffers in by_type.values():
        flat = torch.cat([buffer.flatten() for buffer in buffers])  # one transfer for all
        distributed.broadcast(flat, src=0)
        parts = flat.split([buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))
