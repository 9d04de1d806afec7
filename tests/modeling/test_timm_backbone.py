"""Networks of timm as backbones: maps, frozen parts, and a detector on top of each."""

import pytest
import torch
from torch import nn

from medmask.errors import InputError
from medmask.modeling import build_timm_backbone

SWIN = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)}
FAMILIES = {
    "resnet": dict(name="test_resnet"),
    "convnext": dict(name="test_convnext"),
    "efficientnet": dict(name="test_efficientnet"),
    "swin": dict(name="swin_tiny_patch4_window7_224", network_options=SWIN),
}
WITH_BATCH_NORM = ["resnet", "efficientnet"]


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


def map_sizes(maps):
    return {name: tuple(x.shape) for name, x in maps.items()}


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (224, 224)], ids=str)
def test_maps_have_the_strides_and_channels_that_are_told(family, size):
    backbone = build_timm_backbone(**family).eval()
    shapes = backbone.output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == {
        "res3": 8,
        "res4": 16,
        "res5": 32,
    }
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, *size))
    assert list(maps) == list(shapes)
    assert map_sizes(maps) == {
        name: (2, s.channels, size[0] // s.stride, size[1] // s.stride)
        for name, s in shapes.items()
    }


@pytest.mark.parametrize("strides", [(4, 8), (16,), (4, 32)], ids=str)
def test_other_strides_leave_no_parameter_unused(family, strides):
    backbone = build_timm_backbone(**family, strides=strides)
    maps = backbone(torch.randn(1, 3, 64, 64))
    assert [64 // m.shape[-1] for m in maps.values()] == list(strides)
    sum(m.square().mean() for m in maps.values()).backward()
    unused = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused


def statistics(module):
    return {n: b.clone() for n, b in module.named_buffers() if "running" in n}


@pytest.mark.parametrize("family", WITH_BATCH_NORM)
@pytest.mark.parametrize("batch_norm", ["train", "eval", "frozen"])
def test_batch_norm_moves_as_it_is_told(family, batch_norm):
    backbone = build_timm_backbone(**FAMILIES[family], batch_norm=batch_norm).eval().train()
    before = statistics(backbone)
    sum(m.mean() for m in backbone(torch.randn(2, 3, 64, 64)).values()).backward()
    moved = [n for n, x in statistics(backbone).items() if not torch.equal(x, before[n])]
    assert len(moved) == (len(before) if batch_norm == "train" else 0)
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    learns = {p.grad is not None for m in norms for p in m.parameters()}
    assert learns == {batch_norm != "frozen"}


@pytest.mark.parametrize("freeze_at", [1, 2, 3])
def test_frozen_layers_have_no_gradient_no_graph_and_still_statistics(family, freeze_at):
    backbone = build_timm_backbone(**family, batch_norm="train", freeze_at=freeze_at).train()
    before = statistics(backbone)
    own_maps = backbone.network(torch.randn(2, 3, 64, 64))
    assert [m.requires_grad for m in own_maps] == [i >= freeze_at for i in range(len(own_maps))]
    own_maps[-1].square().mean().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    fixed = {id(m.running_mean) for m in norms if not m.weight.requires_grad}
    for name, buffer in backbone.named_buffers():
        if name in before:
            assert torch.equal(buffer, before[name]) == (id_of(backbone, name) in fixed), name


def id_of(backbone, name):
    """The running mean beside a statistic."""
    return id(backbone.get_submodule(name.rpartition(".")[0]).running_mean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(name="test_resnat"), "timm knows no network test_resnat.*test_resnet"),
        (dict(strides=(8, 64)), r"strides asks for \[64\], but test_resnet gives .*\[2, 4, 8"),
        (dict(strides=(16, 8)), "must rise"),
        (dict(freeze_at=6), "freeze_at is 6, but test_resnet gives 5 maps"),
        (dict(gradient_checkpointing=True, batch_norm="train"), "statistics twice"),
        (dict(network_options={"no_such": 1}), "cannot build test_resnet .*no_such"),
    ],
)
def test_what_does_not_fit_is_told(options, message):
    with pytest.raises(InputError, match=message):
        build_timm_backbone(**{"name": "test_resnet", **options})


def test_gradient_checkpointing_changes_no_gradient():
    x = torch.randn(1, 3, 64, 64)
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        backbone = build_timm_backbone("test_resnet", gradient_checkpointing=checkpointing)
        backbone.train()(x)["res5"].square().mean().backward()
        gradients.append([p.grad for p in backbone.parameters()])
    torch.testing.assert_close(*gradients)
