"""Norms against backward passes of their own in float64. Run by itself, this file is a process."""

import copy
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import Boxes, Instances
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from medmask.engine import launch
from medmask.stages.gradient_norms import GradientNorms, group_of, parts_of

ROOT = Path(__file__).parents[2]
WORLD_SIZE = 2
WEIGHTS = {"loss_memory": 0.3, "loss_features": 20.0}


def build_detector(**options):
    torch.manual_seed(1)
    model = LazyConfig.load(str(ROOT / "configs/common/models/medmask_small.py")).model
    model.backbone.norm = "FrozenBN"  # whose statistics do not depend on the batch
    # one stage: selecting proposals knows no float64
    model.transformer.update(dropout=0.0, two_stage=False, **options)
    return instantiate(model)


def make_batch(seed, count=2):
    torch.manual_seed(seed)
    batch = []
    for _ in range(count):
        instances = Instances((64, 96))
        instances.gt_boxes = Boxes(torch.tensor([[5.0, 10.0, 30.0, 40.0]]) + 20 * torch.rand(1))
        instances.gt_classes = torch.zeros(1, dtype=torch.int64)
        batch.append({"image": 255 * torch.rand(3, 64, 96), "instances": instances})
    return batch


def losses_of(detector, batch):
    """Losses of a step: the supervised ones, one on the memory, one on the features."""
    step = detector.supervised_step(batch)
    features = sum(x.square().mean() for x in step.features.values())
    more = {"loss_memory": step.outputs.memory.square().mean(), "loss_features": features}
    return {**step.losses, **{name: WEIGHTS[name] * loss for name, loss in more.items()}}


def norms_by_separate_passes(detector, batches):
    """The same norms, each of a forward and a backward pass of its own, in float64."""
    detector = copy.deepcopy(detector).double()
    groups = {"detection": lambda name: name not in WEIGHTS}
    for name in WEIGHTS:
        groups[name.removeprefix("loss_")] = name.__eq__
    expected = {}
    for group, is_in_group in groups.items():
        detector.zero_grad()
        for batch in batches:
            losses = losses_of(detector, batch)
            loss = sum(loss for name, loss in losses.items() if is_in_group(name))
            (loss / len(batches)).backward()
        expected[group] = {
            part: sum(
                float(p.grad.square().sum()) for p in module.parameters() if p.grad is not None
            )
            ** 0.5
            for part, module in parts_of(detector).items()
        }
    return expected


def check(actual, expected):
    assert actual.keys() == expected.keys()
    for group, norms in expected.items():
        assert actual[group] == pytest.approx(norms, rel=3e-3), (
            group
        )  # rounding moves samples across pixels


@pytest.mark.parametrize("num_batches", [1, 3])
@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_norms_are_those_of_separate_passes_in_float64(num_batches, gradient_checkpointing):
    detector = build_detector(gradient_checkpointing=gradient_checkpointing)
    batches = [make_batch(seed) for seed in range(num_batches)]
    expected = norms_by_separate_passes(detector, batches)
    measure = GradientNorms(parts_of(detector))
    for batch in batches:
        measure.add({k: x / num_batches for k, x in losses_of(detector, batch).items()})
    check(measure.compute(), expected)
    assert expected["memory"]["decoder"] == 0
    assert expected["features"]["backbone"] > 0
    assert expected["features"]["encoder"] == 0
    assert all(norm > 0 for norm in expected["detection"].values())
    assert measure.compute() == {}  # what was measured is forgotten


def test_frozen_parameters_have_no_part_in_the_norms():
    detector = build_detector()
    batch = make_batch(0)
    whole = norms_by_separate_passes(detector, [batch])
    detector.transformer.encoder.layers[0].requires_grad_(False)
    expected = norms_by_separate_passes(detector, [batch])
    assert expected["detection"]["encoder"] < 0.999 * whole["detection"]["encoder"]
    measure = GradientNorms(parts_of(detector))
    measure.add(losses_of(detector, batch))
    check(measure.compute(), expected)


def test_a_part_that_is_frozen_as_a_whole_is_left_out():
    detector = build_detector()
    detector.backbone.requires_grad_(False)
    measure = GradientNorms(parts_of(detector))
    measure.add(losses_of(detector, make_batch(0)))
    norms = measure.compute()
    assert norms["detection"].keys() == {"encoder", "decoder"}
    assert norms["features"] == {"encoder": 0, "decoder": 0}  # its loss needs no gradient at all


def test_scaling_up_keeps_gradients_that_half_precision_loses():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self):
            return 1e-8 * self.weight.half().float().sum()

    part = Half()
    measure = GradientNorms({"part": part})
    measure.add({"loss_small": part()})
    assert measure.compute() == {"small": {"part": 0}}
    measure.add({"loss_small": part()}, scale=2.0**16)
    assert measure.compute()["small"]["part"] == pytest.approx(3**0.5 * 1e-8, rel=1e-2)


def test_the_backward_pass_after_it_is_what_it_would_have_been():
    first, second = build_detector(), build_detector()
    batch = make_batch(0)
    losses = losses_of(first, batch)
    GradientNorms(parts_of(first)).add(losses)
    assert all(parameter.grad is None for parameter in first.parameters())
    sum(losses.values()).backward()
    sum(losses_of(second, batch).values()).backward()
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


@pytest.mark.parametrize(
    ("loss_name", "group"),
    [
        ("loss_class", "detection"),
        ("loss_giou_proposals", "detection"),
        ("loss_box_target", "detection_target"),
        ("loss_class_proposals_target", "detection_target"),
        ("loss_mae", "mae"),
        ("loss_expert_zero_shot", "expert_zero_shot"),
        ("loss_domain_encoder", "domain_encoder"),
        ("loss_domain_encoder_target", "domain_encoder"),
    ],
)
def test_losses_belong_to_groups(loss_name, group):
    assert group_of(loss_name) == group


def test_two_processes_measure_the_gradient_of_the_joint_batch(run_in_two_processes):
    run_in_two_processes(__file__)


def compare(_):
    """The mean over processes of their shares of the loss is the loss of the joint batch."""
    batch = make_batch(0, count=4)
    share = len(batch) // WORLD_SIZE
    rank = distributed.get_rank()
    detector = build_detector()
    model = DistributedDataParallel(detector, broadcast_buffers=False)
    measure = GradientNorms(parts_of(detector))
    for _ in range(2):  # the wrapper must find all in order in the next step
        losses = model(batch[rank * share : (rank + 1) * share], step=losses_of)
        measure.add(losses)
        sum(losses.values()).backward()
        norms = measure.compute()
    # All processes see all objects: their mean number is that of the joint batch.
    check(norms, norms_by_separate_passes(detector, [batch]))


if __name__ == "__main__":
    launch(compare, Namespace())
