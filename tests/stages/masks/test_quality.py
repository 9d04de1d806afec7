import itertools

import pytest
import torch

from medmask.stages.masks import quality
from medmask.stages.masks.losses import CellTargets
from medmask.stages.masks.quality import MaskQuality


def make_images(count, size):
    torch.manual_seed(0)
    counted = (torch.rand(count, *size) < 0.8).double()
    counted[:, -1, -1] = 1
    lesion = counted * (torch.rand(count, *size) ** 4).double()
    return CellTargets(lesion, counted)


@pytest.fixture
def small_grid(monkeypatch):
    monkeypatch.setattr(quality, "GRID", (3, 4))


def measure(predictions, targets):
    found = MaskQuality()
    for predicted, lesion, counted in zip(predictions, *targets, strict=True):
        found.add(predicted[None], CellTargets(lesion[None], counted[None]))
    return found.measure()


def dice(predictions, targets):
    overlap = predicted = lesion = 0.0
    for mask, y, c in zip(predictions, *targets, strict=True):
        overlap += y[mask].sum().item()
        predicted += c[mask].sum().item()
        lesion += y.sum().item()
    return 2 * overlap / (predicted + lesion)


def test_dice_counts_all_cells_alike_and_the_constant_is_the_best_of_all_masks(small_grid):
    targets = make_images(5, (3, 4))
    predictions = torch.rand(5, 3, 4) < 0.4
    found = measure(predictions, targets)
    assert found.value == pytest.approx(dice(predictions, targets))
    masks = (torch.tensor(bits).view(3, 4) for bits in itertools.product((False, True), repeat=12))
    best = max(dice([mask] * 5, targets) for mask in masks)
    assert found.constant == pytest.approx(best)


def test_a_constant_mask_is_stretched_to_the_image_without_its_padding(small_grid):
    targets = make_images(2, (3, 4))
    large = CellTargets(*(x.repeat_interleave(2, 1).repeat_interleave(3, 2) for x in targets))
    padded = CellTargets(*(torch.nn.functional.pad(x, (0, 5, 0, 2)) for x in large))
    nothing = torch.zeros(2, 8, 17, dtype=torch.bool)
    expected = measure(torch.zeros(2, 3, 4, dtype=torch.bool), targets)
    assert measure(nothing, padded).constant == pytest.approx(expected.constant)


def test_without_lesions_there_is_nothing_to_measure():
    targets = CellTargets(torch.zeros(2, 3, 4).double(), torch.ones(2, 3, 4).double())
    assert measure(torch.ones(2, 3, 4, dtype=torch.bool), targets) is None
    assert measure(torch.zeros(2, 3, 4, dtype=torch.bool), CellTargets(*[targets[0]] * 2)) is None


def test_perfect_masks_beat_the_constant():
    lesion = torch.zeros(4, 32, 32).double()
    for i in range(4):
        lesion[i, 8 * i : 8 * i + 6, 4:9] = 1
    found = measure(lesion.bool(), CellTargets(lesion, torch.ones_like(lesion)))
    assert found.value == 1
    assert found.beats_constant
    assert found.constant < 0.6
