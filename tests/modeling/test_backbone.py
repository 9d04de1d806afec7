"""The small backbone."""

import pytest
import torch
from detectron2.modeling.backbone.resnet import BasicStem

from medmask.modeling.backbone import PoolingFirstStem, build_small_resnet


@pytest.mark.parametrize("size", [(32, 48), (31, 17), (1, 1)])
def test_pooling_before_the_relu_changes_no_bit(size):
    theirs, mine = BasicStem(3, 8, "BN"), PoolingFirstStem(3, 8, "BN")
    mine.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, *size)
    gradient = torch.randn_like(theirs(images))
    results = []
    for stem in (theirs, mine):
        x = images.clone().requires_grad_()
        output = stem(x)
        results.append((output, *torch.autograd.grad(output, [x, *stem.parameters()], gradient)))
    for expected, actual in zip(*results, strict=True):
        assert torch.equal(actual, expected)


def test_outputs_are_the_stages_from_res3_on():
    backbone = build_small_resnet(widths=[4, 6, 8, 10])
    maps = backbone(torch.randn(1, 3, 64, 32))
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        "res3": (8, 8, 4),
        "res4": (10, 4, 2),
    }
