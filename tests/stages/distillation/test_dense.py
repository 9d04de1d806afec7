import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medmask.experts import ExpertView, join_patch_moments
from medmask.experts.patch_statistics import PatchStatistics, patch_moments
from medmask.stages.distillation import DenseDistillation
from medmask.stages.distillation.patch_targets import ExpertPatches

STRIDES = {0: 16, 1: 32}
STATISTICS = PatchStatistics(np.float32([1, -2, 0]), np.float32([2, 0.5, 1]))
UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def make_batch():
    """Two images, of which the expert saw the second: 70 x 50 pixels in a batch of 96 x 64."""
    maps = [torch.randn(2, 6, 4, 8, requires_grad=True), torch.randn(2, 3, 2, 8)]
    view = ExpertView((0, 0, 50, 70), (0.1, 0, 0.9, 1))
    grid = torch.randn(5, 4, 3)
    return maps, [ExpertPatches(1, grid, view, UPRIGHT, (70, 50))]


@pytest.mark.parametrize("loss", ["cosine", "smooth_l1"])
def test_loss_is_the_mean_over_the_tokens_of_the_image(loss):
    torch.manual_seed(0)
    maps, images = make_batch()
    dense = DenseDistillation(8, STRIDES, STATISTICS, loss)
    losses = []
    for head, (level, stride) in zip(dense.heads, STRIDES.items(), strict=True):
        for i in range(maps[level].shape[1]):
            for j in range(maps[level].shape[2]):
                x, y = stride * (j + 0.5), stride * (i + 0.5)
                if x >= 50 or y >= 70:
                    continue
                place = torch.tensor([0.1 + 0.8 * x / 50, y / 70]) * 2 - 1
                grid = images[0].grid.permute(2, 0, 1)[None]
                patch = F.grid_sample(
                    grid, place[None, None, None], padding_mode="border", align_corners=False
                )[0, :, 0, 0]
                target = (patch - torch.tensor([1, -2, 0])) / torch.tensor([2, 0.5, 1])
                student = head(maps[level][1, i, j])
                if loss == "cosine":
                    losses.append(1 - F.cosine_similarity(student, target, dim=0))
                else:
                    losses.append(F.smooth_l1_loss(student, target))
    assert len(losses) == 4 * 3 + 2 * 2  # rows and columns whose middles are in the image
    actual = dense(maps, images)
    torch.testing.assert_close(actual, torch.stack(losses).mean())
    actual.backward()
    gradient = maps[0].grad
    assert not gradient[0].any()
    assert gradient[1, :4, :3].any(dim=-1).all()
    assert not gradient[1, 4:].any()
    assert not gradient[1, :, 3:].any()


def test_batch_that_the_expert_has_not_seen_has_no_loss_and_trains_no_head():
    maps, _ = make_batch()
    dense = DenseDistillation(8, STRIDES, STATISTICS, "cosine")
    loss = dense(maps, [])
    loss.backward()
    assert loss == 0
    assert all(p.grad is not None and not p.grad.any() for p in dense.parameters())


def test_head_learns_a_linear_map_of_the_tokens():
    torch.manual_seed(0)
    view = ExpertView((0, 0, 64, 64), (0, 0, 1, 1))
    tokens = torch.randn(1, 4, 4, 8)
    grid = tokens[0] @ torch.randn(8, 3)
    images = [ExpertPatches(0, grid, view, UPRIGHT, (64, 64))]
    dense = DenseDistillation(8, {0: 16}, STATISTICS, "smooth_l1")
    optimizer = torch.optim.Adam(dense.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss = dense([tokens], images)
        loss.backward()
        optimizer.step()
    assert loss < 1e-3


def test_statistics_are_those_of_all_patches_that_show_an_image():
    random = np.random.default_rng(0)
    grids = random.normal(size=(6, 4, 8, 5)) * (1, 30, 0.01, 1, 0) + (0, 100, 1, -3, 7)
    placements = np.array([[0, 0, 1, 1], [0.25, 0, 0.75, 1], [0, 0.3, 1, 0.7]] * 2)
    columns = [slice(0, 8), slice(2, 6), slice(0, 8)] * 2
    rows = [slice(0, 4), slice(0, 4), slice(1, 3)] * 2
    seen = np.concatenate(
        [g[r, c].reshape(-1, 5) for g, r, c in zip(grids, rows, columns, strict=True)]
    )
    parts = [patch_moments(grids[:2], placements[:2]), patch_moments(grids[2:], placements[2:])]
    statistics = join_patch_moments(parts)
    np.testing.assert_allclose(statistics.mean, seen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(statistics.std[:4], seen.std(axis=0)[:4], rtol=1e-4)
    assert statistics.std[4] == 1
