"""Two processes train as one does on the joint batch. Run by itself, this file is a process."""

from argparse import Namespace
from pathlib import Path

import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import Boxes, Instances
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from medmask.engine import launch

ROOT = Path(__file__).parents[2]
WORLD_SIZE = 2
OBJECTS = [3, 1, 0, 0]  # of the images of the joint batch: the second process has none


def test_average_gradient_is_that_of_the_joint_batch(run_in_two_processes):
    run_in_two_processes(__file__)


def make_batch():
    torch.manual_seed(0)
    batch = []
    for count in OBJECTS:
        instances = Instances((64, 64))
        corners = torch.rand(count, 2) * 40
        instances.gt_boxes = Boxes(torch.cat((corners, corners + 20), dim=1))
        instances.gt_classes = torch.zeros(count, dtype=torch.int64)
        batch.append({"image": 255 * torch.rand(3, 64, 64), "instances": instances})
    return batch


def make_model(box_refinement, two_stage):
    torch.manual_seed(1)
    config = LazyConfig.load(str(ROOT / "configs/common/models/medmask_small.py")).model
    config.backbone.norm = "FrozenBN"  # whose statistics do not depend on the batch
    config.transformer.update(box_refinement=box_refinement, two_stage=two_stage)
    return instantiate(config)


def compare(rank, box_refinement, two_stage):
    """The whole batch before the processes know of each other's share, then each its own."""
    batch = make_batch()
    model = make_model(box_refinement, two_stage)
    ddp_model = DistributedDataParallel(model)  # every parameter must take part
    share = len(batch) // WORLD_SIZE
    for _ in range(2):  # a parameter that took no part would raise in the second step
        model.zero_grad()
        sum(ddp_model(batch[rank * share : (rank + 1) * share]).values()).backward()
    actual = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    # All processes see all objects: their mean number is that of the joint batch.
    sum(model(batch).values()).backward()
    for (name, parameter), gradient in zip(model.named_parameters(), actual, strict=True):
        scale = parameter.grad.abs().max().clamp(min=1e-3).item()
        message = f"{name} with box_refinement={box_refinement}, two_stage={two_stage}"
        assert_close(gradient, parameter.grad, rtol=0, atol=1e-4 * scale, msg=message)


def compare_all(args):
    for box_refinement in (False, True):
        for two_stage in (False, True):
            compare(distributed.get_rank(), box_refinement, two_stage)


if __name__ == "__main__":
    launch(compare_all, Namespace())
