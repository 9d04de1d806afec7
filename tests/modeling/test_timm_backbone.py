"""Networks of timm as backbones: maps, frozen parts, and a detector on top of each."""

import copy
from pathlib import Path

import pytest
import timm
import torch
from detectron2.config import LazyCall, LazyConfig, instantiate
from torch import nn

from medmask.checkpoint import MedMaskCheckpointer, save_weights
from medmask.errors import InputError
from medmask.modeling import build_timm_backbone
from medmask.modeling.timm_backbone import TimmBackbone
from medmask.solver.optimizer import build_parameter_groups

MODEL = Path(__file__).parents[2] / "configs/common/models/medmask_lite0.py"

SWIN = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)}
FAMILIES = {
    "resnet": dict(name="test_resnet"),
    "convnext": dict(name="test_convnext"),
    "efficientnet": dict(name="test_efficientnet"),
    "swin": dict(name="swin_tiny_patch4_window7_224", network_options=SWIN),
}
PLAIN = dict(name="test_vit", pyramid_channels=32)
WITH_BATCH_NORM = ["resnet", "efficientnet"]


@pytest.fixture(params=FAMILIES)
def family(request):
    """Options of a network with maps of several strides."""
    return FAMILIES[request.param]


@pytest.fixture(params=[*FAMILIES, "vit"])
def any_family(request):
    return (FAMILIES | {"vit": PLAIN})[request.param]


def map_sizes(maps):
    return {name: tuple(x.shape) for name, x in maps.items()}


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (224, 224)], ids=str)
def test_maps_have_the_strides_and_channels_that_are_told(any_family, size):
    backbone = build_timm_backbone(**any_family).eval()
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


def trained_without_gradient(module):
    return [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]


def test_order_in_memory_changes_no_map(any_family):
    plain = build_timm_backbone(**any_family).eval()
    reordered = build_timm_backbone(**any_family, channels_last=True).eval()
    reordered.load_state_dict(plain.state_dict())
    network = next(m for m in reordered.modules() if isinstance(m, TimmBackbone))
    kernels = [p for p in network.parameters() if p.dim() == 4 and min(p.shape[:2]) > 1]
    assert all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for name, expected in plain(images).items():
            torch.testing.assert_close(reordered(images)[name], expected)


def test_channels_are_together_on_a_cpu_only():
    backbone = build_timm_backbone("tf_efficientnet_lite0", channels_last=True)
    kernel = backbone.network.conv_stem.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    moved = backbone.to("meta").network.conv_stem.weight  # as it would be on a GPU
    assert moved.is_contiguous()
    assert not moved.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("strides", [(4, 8), (16,), (4, 32)], ids=str)
def test_other_strides_leave_no_parameter_unused(family, strides):
    backbone = build_timm_backbone(**family, strides=strides)
    maps = backbone(torch.randn(1, 3, 64, 64))
    assert [64 // m.shape[-1] for m in maps.values()] == list(strides)
    sum(m.square().mean() for m in maps.values()).backward()
    assert not trained_without_gradient(backbone)


def statistics(module):
    return {n: b.clone() for n, b in module.named_buffers() if "running" in n}


@pytest.mark.parametrize("family", WITH_BATCH_NORM)
@pytest.mark.parametrize("batch_norm", ["train", "eval", "frozen"])
def test_batch_norm_moves_as_it_is_told(family, batch_norm):
    backbone = build_timm_backbone(**FAMILIES[family], batch_norm=batch_norm)
    backbone = copy.deepcopy(backbone).eval().train()  # as a teacher is copied of its student
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
        (dict(freeze_at=6), "freeze_at is 6, but test_resnet has 5 stages"),
        (dict(name="hrnet_w18_small", freeze_at=1), "stages of hrnet_w18_small cannot be told"),
        (dict(name="test_maxvit"), "cannot build test_maxvit to .* images are of one size"),
        (
            dict(name="test_vit", strides=(2, 4)),
            r"strides is \[2, 4\], but .* may hold 4, 8, 16, 32",
        ),
        (dict(name="test_vit", strides=(8, 32)), "each twice the one before"),
        (dict(name="vit_tiny_patch16_224", network_options={"patch_size": 14}), "no power of 2"),
        (dict(gradient_checkpointing=True, batch_norm="train"), "statistics twice"),
        (dict(network_options={"no_such": 1}), "cannot build test_resnet .*no_such"),
        (dict(name="test_vit", network_options={"no_such": 1}), "cannot build test_vit .*no_such"),
        (
            dict(name="inception_v3"),
            r"leaves out the border .* stride 8 has 9 x 17 .*, not 12 x 20",
        ),
        (dict(name="haloregnetz_b"), "images of some sizes only.* 96 x 160 pixels .AssertionError"),
    ],
)
def test_what_does_not_fit_is_told(options, message):
    with pytest.raises(InputError, match=message):
        build_timm_backbone(**{"name": "test_resnet", **options})


def test_gradient_checkpointing_computes_twice_and_changes_no_gradient(any_family):
    x = torch.randn(1, 3, 64, 64)
    gradients, calls = [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        backbone = build_timm_backbone(**any_family, gradient_checkpointing=checkpointing)
        modules = [m for m in backbone.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        counts = [0]
        for module in modules:
            module.register_forward_pre_hook(lambda *_, c=counts: c.__setitem__(0, c[0] + 1))
        torch.manual_seed(0)
        sum(m.square().mean() for m in backbone.train()(x).values()).backward()
        gradients.append([p.grad for p in backbone.parameters()])
        calls.append(counts[0])
    torch.testing.assert_close(*gradients)
    assert calls[1] > 1.5 * calls[0]


@pytest.mark.parametrize("freeze_at", [1, 4])
def test_frozen_blocks_of_a_vision_transformer(freeze_at):
    backbone = build_timm_backbone(**PLAIN, freeze_at=freeze_at).train()
    sum(m.square().mean() for m in backbone(torch.randn(1, 3, 64, 64)).values()).backward()
    assert not trained_without_gradient(backbone)
    frozen = {n for n, p in backbone.named_parameters() if not p.requires_grad}
    model = "pyramid.net.network.model."
    assert {f"{model}pos_embed", f"{model}patch_embed.proj.weight"} <= frozen
    blocks = {n.removeprefix(f"{model}blocks.")[0] for n in frozen if "blocks" in n}
    assert blocks == {str(i) for i in range(freeze_at)}


def test_swin_on_another_size_is_the_swin_of_that_size():
    """timm's own network of a fixed size has its attention masks from the start."""
    backbone = build_timm_backbone(**FAMILIES["swin"]).eval()
    fixed = timm.create_model(
        FAMILIES["swin"]["name"], features_only=True, img_size=(256, 288), **SWIN
    ).eval()
    weights = {n: x for n, x in backbone.network.state_dict().items() if "attn_mask" not in n}
    fixed.load_state_dict(weights, strict=False)
    x = torch.randn(1, 3, 256, 288)
    with torch.no_grad():
        for m, expected in zip(backbone(x).values(), fixed(x)[-3:], strict=True):
            torch.testing.assert_close(m, expected.permute(0, 3, 1, 2))


def test_vision_transformer_on_its_own_size_is_that_of_timm():
    backbone = build_timm_backbone(**PLAIN, strides=(16,)).eval()
    network = backbone.pyramid.net.network
    size = timm.get_pretrained_cfg("test_vit").input_size
    fixed = timm.create_model("test_vit", features_only=True).eval()
    fixed.load_state_dict(network.state_dict())
    x = torch.randn(1, *size)
    with torch.no_grad():
        torch.testing.assert_close(backbone.pyramid.net(x)["res4"], fixed(x)[-1])


@pytest.fixture
def make_detector():
    """Builds a small detector on a backbone of timm."""

    def make(options):
        config = LazyConfig.load(str(MODEL)).model
        config.backbone = LazyCall(build_timm_backbone)(**options)
        config.transformer.update(embed_dim=32, num_heads=2, num_queries=10)
        return instantiate(config)

    return make


def test_detector_of_each_family_learns_on_odd_sizes_and_is_saved(
    any_family, make_detector, make_input, tmp_path
):
    images = [make_input(75, 97, [[10.0, 20.0, 40.0, 60.0]]), make_input(64, 33)]
    detector = make_detector(any_family).train()
    optimizer = torch.optim.SGD(build_parameter_groups(detector, lr=0.01, weight_decay=0.0))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in detector.backbone.parameters()} == {0.001}
    losses = []
    for _ in range(2):
        loss = sum(detector(images).values())
        optimizer.zero_grad()
        loss.backward()
        assert not trained_without_gradient(detector)
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] != losses[0]

    detector.eval()
    path = str(tmp_path / "model.pth")
    save_weights(detector, path)
    loaded = make_detector(any_family).eval()
    MedMaskCheckpointer(loaded).load_for_inference(path)
    with torch.no_grad():
        ours, theirs = detector(images), loaded(images)
    for x, y in zip(ours, theirs, strict=True):
        assert torch.equal(x["instances"].pred_boxes.tensor, y["instances"].pred_boxes.tensor)
        assert torch.equal(x["instances"].scores, y["instances"].scores)
    assert [x["instances"].image_size for x in ours] == [(75, 97), (64, 33)]
