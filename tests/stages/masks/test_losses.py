import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from medmask.data.outlines import IGNORED, LESION
from medmask.stages.masks.losses import CellTargets, cell_targets, mask_losses

STRIDE = 4
CPU = torch.device("cpu")


def make_maps(*sizes):
    torch.manual_seed(1)
    return [torch.randint(0, 3, size, dtype=torch.uint8) for size in sizes]


def losses_of_pixels(logits, maps):
    """The losses by their definition, pixel by pixel in float64."""
    entropies, dices = [], []
    for z, lesion_map in zip(logits.double(), maps, strict=True):
        p = z.sigmoid().repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1)
        entropy = number = overlap = predicted = lesion = 0
        for (y, x), value in zip(
            torch.cartesian_prod(*map(torch.arange, lesion_map.shape)).tolist(),
            lesion_map.flatten().tolist(),
            strict=True,
        ):
            if value == IGNORED:
                continue
            is_lesion = float(value == LESION)
            q = p[y, x].item()
            entropy -= math.log(q if is_lesion else 1 - q)
            number += 1
            overlap += q * is_lesion
            predicted += q
            lesion += is_lesion
        if number:
            entropies.append(entropy / number)
        if lesion:
            cells = STRIDE**2
            dices.append(1 - (2 * overlap + cells) / (predicted + lesion + cells))
    mean = lambda values: sum(values) / len(values) if values else 0.0  # noqa: E731
    return mean(entropies), mean(dices)


@pytest.mark.parametrize(
    "maps",
    [
        make_maps((16, 24)),
        make_maps((16, 24), (13, 21)),
        make_maps((1, 1), (15, 3)),
        [torch.zeros(16, 24, dtype=torch.uint8), *make_maps((10, 10))],
        [torch.full((16, 24), IGNORED, dtype=torch.uint8), *make_maps((10, 10))],
        [torch.zeros(16, 24, dtype=torch.uint8)],
    ],
    ids=["one", "padding", "tiny", "empty", "ignored", "empty_alone"],
)
def test_losses_are_those_of_all_pixels(maps):
    logits = 2 * torch.randn(len(maps), 4, 6)
    found = mask_losses(logits, cell_targets(maps, (4, 6), STRIDE, CPU))
    assert [x.item() for x in found] == pytest.approx(losses_of_pixels(logits, maps), rel=1e-5)


def test_padding_and_ignored_pixels_have_no_gradient():
    maps = make_maps((8, 24), (16, 12))
    maps[1][4:8, 4:8] = IGNORED
    logits = torch.randn(2, 4, 6, requires_grad=True)
    sum(mask_losses(logits, cell_targets(maps, (4, 6), STRIDE, CPU))).backward()
    assert not logits.grad[0, 2:].any()
    assert not logits.grad[1, :, 3:].any()
    assert not logits.grad[1, 1, 1].any()
    assert logits.grad[0, :2].all()


def test_gradient_is_that_of_differences():
    targets = cell_targets(make_maps((16, 24), (13, 21)), (4, 6), STRIDE, CPU)
    targets = CellTargets(*(x.double() for x in targets))
    logits = torch.randn(2, 4, 6, requires_grad=True)
    sum(mask_losses(logits, targets)).backward()
    step = 1e-2
    for index in ((0, 0, 0), (1, 2, 3), (1, 3, 5)):
        moved = []
        for sign in (1, -1):
            shifted = logits.detach().clone()
            shifted[index] += sign * step
            moved.append(sum(mask_losses(shifted, targets)).item())
        slope = (moved[0] - moved[1]) / (2 * step)
        assert logits.grad[index].item() == pytest.approx(slope, rel=2e-2, abs=1e-5)


@pytest.mark.parametrize("value", [0, IGNORED])
def test_batches_without_lesions_keep_all_in_the_graph(value):
    logits = torch.randn(2, 4, 6, requires_grad=True)
    maps = [torch.full((16, 24), value, dtype=torch.uint8)] * 2
    entropy, dice = mask_losses(logits, cell_targets(maps, (4, 6), STRIDE, CPU))
    assert dice.item() == 0
    assert (entropy.item() == 0) == (value == IGNORED)
    (entropy + dice).backward()
    assert logits.grad.isfinite().all()


def test_a_perfect_map_costs_next_to_nothing_and_extreme_logits_stay_finite():
    maps = [torch.zeros(16, 24, dtype=torch.uint8)]
    maps[0][4:12, 8:16] = LESION
    targets = cell_targets(maps, (4, 6), STRIDE, CPU)
    right = (2 * targets.lesion - 1) * 1e4
    assert [x.item() for x in mask_losses(right, targets)] == [0, 0]
    wrong = mask_losses(-right, targets)
    assert all(x.isfinite() for x in wrong)
    assert torch.equal(F.avg_pool2d((maps[0] == LESION).float()[None], 4), targets.lesion)


def test_two_processes_have_the_losses_of_one(run_in_two_processes):
    run_in_two_processes(str(Path(__file__).with_name("two_processes.py")))
