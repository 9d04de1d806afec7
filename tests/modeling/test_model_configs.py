"""The model files that configs are composed from."""

from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate

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
