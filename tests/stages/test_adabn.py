import copy

import pytest
import torch
from torch import nn

from medmask.errors import InputError
from medmask.modeling import build_small_resnet, build_timm_backbone
from medmask.stages.adabn import adapt_batchnorm

SIZES = [4, 4, 3]  # images a batch


@pytest.fixture
def loader():
    images = torch.randint(0, 256, (sum(SIZES), 3, 64, 64), dtype=torch.uint8)
    return [[{"image": image} for image in batch] for batch in images.split(SIZES)]


def is_statistic(name):
    return "running_" in name or "num_batches_tracked" in name


def test_first_layer_has_the_statistics_of_all_images(make_model, loader):
    detector = make_model().eval()
    adapt_batchnorm(detector, loader)
    images = torch.stack([x["image"] for batch in loader for x in batch]).double()
    images = (images - detector.pixel_mean) / detector.pixel_std
    stem = detector.backbone.stem.conv1
    with torch.no_grad():
        maps = nn.functional.conv2d(images, stem.weight.double(), stride=stem.stride, padding=3)
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), correction=0)
    torch.testing.assert_close(stem.norm.running_mean.double(), mean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(stem.norm.running_var.double(), variance, rtol=1e-3, atol=1e-4)


def test_channels_that_hardly_vary_stay_finite(make_model, loader):
    detector = make_model().eval()
    norm = detector.backbone.stem.conv1.norm
    add = norm.register_forward_pre_hook(lambda _, inputs: (300 + 1e-2 * inputs[0].sigmoid(),))
    adapt_batchnorm(detector, loader)
    add.remove()
    assert norm.running_var.min() >= 0
    batch = detector.preprocess_image(loader[0]).tensor
    assert all(x.isfinite().all() for x in detector.backbone(batch).values())


def test_nothing_but_statistics_changes(make_model, loader):
    detector = make_model(dropout=0.1).train()
    detector.backbone.res3.eval()
    before = copy.deepcopy(detector.state_dict())
    modes = [m.training for m in detector.modules()]
    adapt_batchnorm(detector, loader)
    changed = {n for n, v in detector.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {name for name in before if is_statistic(name)}
    assert [m.training for m in detector.modules()] == modes
    assert detector.backbone.stem.conv1.norm.momentum == pytest.approx(0.1)


def test_same_images_give_the_same_model(make_model, loader):
    detector = make_model()
    other = copy.deepcopy(detector)
    adapt_batchnorm(detector, loader)
    adapt_batchnorm(other, loader)
    adapt_batchnorm(other, loader)  # what was there before does not matter
    for name, value in detector.state_dict().items():
        if "num_batches_tracked" not in name:
            assert torch.equal(value, other.state_dict()[name]), name


def test_fixed_statistics_of_a_network_of_timm_are_adapted(make_model, loader):
    detector = make_model().train()
    detector.backbone = build_timm_backbone("test_efficientnet", batch_norm="eval").train()
    norm = detector.backbone.network.bn1
    before = norm.running_mean.clone()
    adapt_batchnorm(detector, loader)
    assert not torch.equal(norm.running_mean, before)
    assert not norm.training


def test_model_without_trained_batchnorm_is_refused(make_model, loader):
    detector = make_model()
    detector.backbone = build_small_resnet(norm="FrozenBN")
    with pytest.raises(InputError, match="no trained BatchNorm"):
        adapt_batchnorm(detector, loader)


def test_several_processes_are_refused(make_model, loader, monkeypatch):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    with pytest.raises(InputError, match="one process"):
        adapt_batchnorm(make_model(), loader)
