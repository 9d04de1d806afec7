"""The weight against gradients that are computed by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from medmask.stages.masked_autoencoding.gradient_share import PERIOD, GradientShare


def make_detector():
    """All that is measured: an encoder of two weights."""
    encoder = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    torch.nn.init.ones_(encoder.weight)
    return SimpleNamespace(transformer=SimpleNamespace(encoder=encoder))


def take_step(weighting, detector, iteration, own, detection, scale=1.0, batches=1):
    """One iteration, with losses whose gradients have the given norms."""
    weight = detector.transformer.encoder.weight
    weighting.begin_iteration(detector, iteration)
    for _ in range(batches):
        losses = {
            "loss_mae": weighting.weight * own * weight[0, 0] / batches,
            "loss_class": 0.6 * detection * weight[0, 0] / batches,
            "loss_box": 0.8 * detection * weight[0, 1] / batches,
            "loss_other": 1000 * weight.sum(),
        }
        weighting.add(losses, "loss_mae", scale)
    weighting.measure("loss_mae")
    weighting.end_iteration()


@pytest.mark.parametrize(("scale", "batches"), [(1.0, 1), (1024.0, 3)])
def test_first_measurement_gives_the_share(scale, batches):
    weighting = GradientShare(2.0, share=0.3)
    take_step(weighting, make_detector(), 0, own=0.05, detection=8, scale=scale, batches=batches)
    assert weighting.weight * 0.05 == pytest.approx(0.3 * 8)


def test_later_measurements_move_the_weight_half_of_the_way():
    weighting, detector = GradientShare(1.0, share=0.5), make_detector()
    take_step(weighting, detector, 0, own=1, detection=4)
    assert weighting.weight == pytest.approx(2)
    take_step(weighting, detector, PERIOD, own=1, detection=16)
    assert weighting.weight == pytest.approx(math.sqrt(2 * 8))


@pytest.mark.parametrize(("own", "weight"), [(1e-9, 200.0), (1e9, 0.02)])
def test_decoder_that_has_hardly_learned_does_not_drown_detection(own, weight):
    weighting, detector = GradientShare(2.0, share=0.5), make_detector()
    for iteration in (0, PERIOD):
        take_step(weighting, detector, iteration, own=own, detection=4)
        assert weighting.weight == pytest.approx(weight)


def test_nothing_is_measured_in_warmup_nor_between_measurements():
    weighting, detector = GradientShare(1.0, share=0.5), make_detector()
    for iteration in (-1, -PERIOD, 1, PERIOD - 1):
        take_step(weighting, detector, iteration, own=1, detection=4)
    assert weighting.weight == 1


def test_weight_by_hand_stays():
    weighting = GradientShare(3.0, share=None)
    take_step(weighting, make_detector(), 0, own=1, detection=4)
    assert weighting.weight == 3


@pytest.mark.parametrize(("own", "detection"), [(0, 4), (1, 0), (math.nan, 4), (1, math.inf)])
def test_gradient_that_tells_nothing_leaves_the_weight(own, detection):
    weighting = GradientShare(1.0, share=0.5)
    take_step(weighting, make_detector(), 0, own=own, detection=detection)
    assert weighting.weight == 1


def test_state_restores():
    weighting, restored = GradientShare(1.0, share=0.5), GradientShare(1.0, share=0.5)
    detector = make_detector()
    take_step(weighting, detector, 0, own=1, detection=4)
    restored.load_state_dict(weighting.state_dict())
    for each in (weighting, restored):
        take_step(each, detector, PERIOD, own=1, detection=16)
    assert restored.weight == weighting.weight
