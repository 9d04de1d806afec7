"""Buffers of two processes. Run by itself, this file is a process."""

from argparse import Namespace

import torch
from detectron2.engine import TrainerBase
from torch import distributed, nn

from medmask.engine import launch
from medmask.engine.buffers import BufferBroadcast
from medmask.engine.building import distribute


class TwoPasses(TrainerBase):
    """Steps of two forward passes of a model with BatchNorm, each process with its own images."""

    def __init__(self, model, shift=0):
        super().__init__()
        self.shift = shift
        self.detector = model
        self.model = distribute(model)
        self.register_hooks([BufferBroadcast()])

    def run_step(self):
        images = [torch.randn(2, 3, 8, 8) + self.shift for _ in range(2)]
        sum(self.model(x).square().mean() for x in images).backward()
        self.after_backward()


def test_steps_of_two_passes_leave_the_same_statistics_everywhere(run_in_two_processes):
    run_in_two_processes(__file__)


def test_one_process_needs_no_broadcast():
    model = nn.BatchNorm2d(3)
    before = model.running_mean.clone()
    TwoPasses(model).train(0, 1)
    assert not torch.equal(model.running_mean, before)


def check_equal_buffers(args):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    TwoPasses(model, shift=distributed.get_rank()).train(0, 2)
    mine = {name: buffer.tolist() for name, buffer in model.named_buffers()}
    gathered = [None, None]
    distributed.all_gather_object(gathered, mine)
    first, second = gathered
    assert first == second
    assert first["1.num_batches_tracked"] == 4
    assert min(first["1.running_var"]) != 1.0


if __name__ == "__main__":
    launch(check_equal_buffers, Namespace())
