import pytest
import torch
from torch.testing import assert_close

from medmask.errors import InputError
from medmask.modeling import MultiScaleNeck

CHANNELS = {"res3": 6, "res4": 10}


@pytest.fixture
def features():
    return {"res4": torch.randn(2, 10, 5, 7), "res3": torch.randn(2, 6, 9, 13), "unused": None}


def test_backbone_maps_are_projected_and_coarser_levels_come_from_the_last_one(features):
    neck = MultiScaleNeck(CHANNELS, out_channels=32, num_levels=4)
    maps = neck(features)
    assert [tuple(m.shape) for m in maps] == [
        (2, 32, 9, 13),
        (2, 32, 5, 7),
        (2, 32, 3, 4),
        (2, 32, 2, 2),
    ]
    inputs = [features["res3"], features["res4"], features["res4"], maps[2]]
    for level, (x, projection) in enumerate(zip(inputs, neck.projections, strict=True)):
        convolution, norm = projection
        stride, padding = ((1, 0), (1, 0), (2, 1), (2, 1))[level]
        y = torch.nn.functional.conv2d(
            x, convolution.weight, convolution.bias, stride=stride, padding=padding
        )
        assert_close(maps[level], norm(y))


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("level", range(3))
def test_no_level_mixes_images(features, level, top_down):
    neck = MultiScaleNeck(CHANNELS, out_channels=32, num_levels=3, top_down=top_down)
    alone = {name: x[:1] for name, x in features.items() if x is not None}
    assert_close(neck(features)[level][:1], neck(alone)[level])


def test_coarser_levels_are_handed_down(features):
    neck = MultiScaleNeck(CHANNELS, out_channels=32, num_levels=3, top_down=True)
    below = MultiScaleNeck(CHANNELS, out_channels=32, num_levels=3)
    below.load_state_dict(neck.state_dict(), strict=False)
    fine, middle, coarse = below(features)
    rows, columns = torch.arange(5) * 3 // 5, torch.arange(7) * 4 // 7
    middle = neck.merges[1](middle + coarse[:, :, rows][..., columns])
    rows, columns = torch.arange(9) * 5 // 9, torch.arange(13) * 7 // 13
    fine = neck.merges[0](fine + middle[:, :, rows][..., columns])
    for level, expected in zip(neck(features), (fine, middle, coarse), strict=True):
        assert_close(level, expected)


def test_a_single_value_a_group_becomes_its_bias():
    neck = MultiScaleNeck(CHANNELS, out_channels=32, num_levels=3)
    bias = torch.nn.init.normal_(neck.projections[2][1].bias)
    pixel = {"res3": torch.randn(1, 6, 2, 2), "res4": torch.randn(1, 10, 1, 1)}
    assert_close(neck(pixel)[2], bias.detach()[None, :, None, None], check_stride=False)


def test_fewer_levels_than_backbone_maps_are_refused():
    with pytest.raises(InputError, match=r"num_levels must be at least .*res3.*res4.*, got 1"):
        MultiScaleNeck(CHANNELS, out_channels=32, num_levels=1)


def test_channels_that_cannot_be_grouped_are_refused():
    with pytest.raises(InputError, match="embed_dim must be divisible by 32, got 40"):
        MultiScaleNeck(CHANNELS, out_channels=40, num_levels=2)
