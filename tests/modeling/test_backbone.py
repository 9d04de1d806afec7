"""The small backbone."""

import torch

from medmask.modeling.backbone import build_small_resnet


def test_outputs_are_the_stages_from_res3_on():
    backbone = build_small_resnet(widths=[4, 6, 8, 10])
    maps = backbone(torch.randn(1, 3, 64, 32))
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        "res3": (8, 8, 4),
        "res4": (10, 4, 2),
    }
