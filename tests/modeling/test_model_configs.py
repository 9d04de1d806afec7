"""The model files that configs are composed from."""

import copy
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate

from medmask.solver.optimizer import build_parameter_groups

MODELS = Path(__file__).parents[2] / "configs" / "common" / "models"


def count(parameters):
    return sum(p.numel() for p in parameters)


@pytest.fixture(scope="module")
def full_size():
    return instantiate(LazyConfig.load(str(MODELS / "medmask_r50.py")).model)


def test_full_size_detector_has_the_size_of_deformable_detr(full_size):
    """40 million parameters, says the paper's table 1; without those of BatchNorm."""
    assert 39e6 < count(full_size.parameters()) < 41e6


def test_stem_first_stage_and_batch_norm_of_the_full_size_detector_are_frozen(full_size):
    frozen = {n for n, _ in full_size.named_buffers() if n.startswith("backbone")}
    trained = {n for n, p in full_size.named_parameters() if p.requires_grad}
    assert any("res5" in n and "running_mean" in n for n in frozen)
    assert not any("norm" in n for n in trained if n.startswith("backbone"))
    assert not any(n.startswith(("backbone.stem", "backbone.res2")) for n in trained)
    assert any(n.startswith("backbone.res3") for n in trained)


def test_neck_of_the_full_size_detector_fits_its_backbone(full_size):
    with torch.no_grad():
        maps = full_size.neck(full_size.backbone(torch.zeros(1, 3, 64, 96)))
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2)]
    assert [tuple(m.shape) for m in maps] == [(1, 256, *size) for size in sizes]


def test_small_detector_has_half_a_million_parameters(make_model):
    assert 4e5 < count(make_model().parameters()) < 6e5


def test_two_models_of_one_config_share_nothing(make_model):
    first, second = make_model(), make_model()
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    assert first.criterion.matcher is not second.criterion.matcher


@pytest.fixture(scope="module")
def lite0():
    return instantiate(LazyConfig.load(str(MODELS / "medmask_lite0.py")).model)


def test_efficientnet_detector_has_four_million_parameters(lite0):
    """3 million are the backbone's, which EfficientNet-lite0 has without its head."""
    assert count(lite0.backbone.parameters()) == 2_958_848
    assert 3.8e6 < count(lite0.parameters()) < 4e6


def test_backbone_of_the_efficientnet_detector_learns_at_a_lower_rate(lite0):
    groups = build_parameter_groups(lite0, lr=1.0, weight_decay=0.0)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {rates[id(p)] for p in lite0.backbone.parameters()} == {0.1}
    assert {rates[id(p)] for p in lite0.neck.parameters()} == {1.0}


def test_efficientnet_detector_learns_and_detects(lite0, make_input):
    images = [make_input(75, 97, [[10.0, 20.0, 40.0, 60.0]]), make_input(64, 33)]
    detector = copy.deepcopy(lite0).train()
    sum(detector(images).values()).backward()
    missing = [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    detections = [x["instances"] for x in detector.eval()(images)]
    assert [d.image_size for d in detections] == [(75, 97), (64, 33)]
