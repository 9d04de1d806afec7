from itertools import pairwise

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import EventStorage
from real_mammograms.peer_config import fit_anchor_sizes
from real_mammograms.peers import BUILDERS, LEVELS
from torch.optim.lr_scheduler import LinearLR

from medmask.modeling import build_small_resnet

SIZES = [8.0, 16.0, 32.0, 64.0]


@pytest.fixture(params=BUILDERS)
def peer(request):
    return BUILDERS[request.param](
        backbone=build_small_resnet(widths=[4, 8, 12, 16, 20]),
        num_classes=1,
        anchor_sizes=SIZES,
        pixel_mean=[60.0] * 3,
        pixel_std=[60.0] * 3,
    )


@pytest.fixture(autouse=True)
def storage():
    """Detectron2's losses log what they count, as in a trainer."""
    with EventStorage() as storage:
        yield storage


def sample(boxes=(), size=(64, 96)):
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.zeros(len(boxes), dtype=torch.int64)
    instances.gt_annotation_index = torch.arange(len(boxes))
    pixels = torch.zeros(3, *size, dtype=torch.uint8)
    for x0, y0, x1, y1 in boxes:
        pixels[:, y0:y1, x0:x1] = 200
    return {"image": pixels, "instances": instances}


def test_learns_one_box_and_maps_it_back_through_the_crop(peer):
    box = (20, 10, 52, 42)
    optimizer = torch.optim.Adam(peer.parameters(), lr=2e-3)
    # at a rate that stays, boxes still swing from step to step
    schedule = LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=75)
    for _ in range(75):
        losses = peer([sample([box]), sample()], step=object()).losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        schedule.step()
    peer.eval()
    seen = {"image": sample([box])["image"], "height": 200, "width": 300}
    # the image shows the part from (100, 40) to (196, 104) of an image of 300 x 200, mirrored
    seen["original_corners"] = (196.0, 40.0, 100.0, 104.0)
    with torch.no_grad():
        (output,) = peer([seen])
    best = output["instances"][0]
    assert best.image_size == (200, 300)
    expected = Boxes(torch.tensor([[196.0 - 52, 40 + 10, 196 - 20, 40 + 42]]))
    assert pairwise_iou(best.pred_boxes, expected) > 0.6


def test_images_without_boxes_have_losses(peer):
    losses = peer([sample(), sample()])
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()


def test_has_what_a_hook_looks_for(peer):
    assert len(peer.training_modules) == 0
    names = [name for name, _ in peer.named_parameters()]
    assert any(name.startswith("backbone.bottom_up.") for name in names)


def test_anchors_span_the_boxes():
    sizes = fit_anchor_sizes(np.geomspace(10, 160, 101), len(LEVELS))
    assert sizes[0] == pytest.approx(10 * 16**0.05, rel=0.02)
    assert sizes[-1] == pytest.approx(10 * 16**0.95, rel=0.02)
    ratios = [b / a for a, b in pairwise(sizes)]
    assert ratios == pytest.approx([ratios[0]] * 3)
    # boxes of one size, and boxes of nothing
    assert fit_anchor_sizes(np.array([30.0]), 4) == pytest.approx([30, 36, 43.2, 51.84])
    assert fit_anchor_sizes(np.array([1.0]), 4)[0] == 8
