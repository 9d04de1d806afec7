"""R2 of reconstructions against a direct computation."""

import math

import pytest
import torch

from medmask.stages.masked_autoencoding.reconstruction_quality import ReconstructionQuality


def make_maps(count=12, size=(4, 6), channels=5):
    torch.manual_seed(0)
    target = torch.randn(count, channels, *size) + 3 * torch.randn(channels, *size)
    masked = torch.rand(count, *size) < 0.7
    return target, masked, torch.zeros(count, *size, dtype=torch.bool)


def measure(target, answer, masked, padding, grid=(4, 6)):
    quality = ReconstructionQuality(grid)
    for i in range(len(target)):  # one by one, as images come
        quality.add(*(x[i : i + 1] for x in (target, answer, masked, padding)))
    return quality.r2()


def test_r2_is_that_of_the_definition():
    target, masked, padding = make_maps()
    answer = target + 0.4 * torch.randn_like(target)
    mean = target.double().mean(0)
    residual = ((target.double() - answer) ** 2 * masked[:, None]).sum()
    variation = ((target.double() - mean) ** 2 * masked[:, None]).sum()
    expected = float(1 - residual / variation)
    assert 0.5 < expected < 0.95
    assert measure(target, answer, masked, padding) == pytest.approx(expected, rel=1e-6)


def test_an_answer_that_is_the_same_for_all_images_gets_no_more_than_zero():
    target, masked, padding = make_maps()
    mean = target.mean(0).expand_as(target)
    assert measure(target, mean, masked, padding) == pytest.approx(0, abs=1e-6)
    assert measure(target, mean + 0.1, masked, padding) < 0
    assert measure(target, target, masked, padding) == pytest.approx(1)


def test_what_is_not_masked_or_is_padding_does_not_count():
    target, masked, padding = make_maps()
    answer = target + 0.4 * torch.randn_like(target)
    expected = measure(target, answer, masked, padding)
    answer = torch.where(masked[:, None], answer, 99.0)
    assert measure(target, answer, masked, padding) == pytest.approx(expected)
    padded = [torch.nn.functional.pad(x, (0, 3, 0, 2), value=9) for x in (target, answer)]
    masked = torch.nn.functional.pad(masked, (0, 3, 0, 2), value=True)
    padding = torch.nn.functional.pad(padding, (0, 3, 0, 2), value=True)
    assert measure(*padded, masked, padding) == pytest.approx(expected)


def test_images_of_two_sizes_share_the_cells_of_the_grid():
    """A map of twice the size has four positions in a cell, all with that cell's mean."""
    target, masked, padding = make_maps()
    twice = [x.repeat_interleave(2, -1).repeat_interleave(2, -2) for x in (target, masked, padding)]
    answer = torch.zeros_like(target)
    alone = measure(target, answer, masked, padding)
    quality = ReconstructionQuality((4, 6))
    quality.add(target, answer, masked, padding)
    quality.add(twice[0], torch.zeros_like(twice[0]), *twice[1:])
    assert quality.r2() == pytest.approx(alone)


def test_nothing_to_tell_apart_is_nan():
    target, masked, padding = make_maps(count=1)
    assert math.isnan(measure(target, target, masked, padding))
    assert math.isnan(ReconstructionQuality((4, 6)).r2())
