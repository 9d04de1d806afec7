"""Patches at the places of tokens, against a search of the sample's pixels by brute force.

The image holds its own coordinates as gray levels: after any augmentation, a sample's pixel tells
which point of the original image it shows.
"""

import detectron2.data.transforms as T
import numpy as np
import pytest
import torch

from medmask.data.mapper import augment_image
from medmask.experts import ExpertView
from medmask.experts.preprocessing import ExpertPreprocessing
from medmask.stages.distillation.patch_targets import (
    ExpertPatches,
    cell_centers,
    grid_places,
    patches_at,
)

HEIGHT, WIDTH = 211, 157
FLIP = T.RandomFlip(1.0, horizontal=True)
AUGMENTATIONS = {
    "as it is": [],
    "mirrored": [FLIP],
    "upside down": [T.RandomFlip(1.0, horizontal=False, vertical=True)],
    "odd size": [T.Resize((333, 251))],
    "crop": [T.CropTransform(13, 41, 101, 133)],
    "mirrored, crop, size": [FLIP, T.CropTransform(21, 7, 99, 151), T.Resize((301, 223))],
    "turned": [T.RotationTransform(HEIGHT, WIDTH, 17)],
    "size, turned, mirrored": [T.Resize((257, 311)), T.RotationTransform(257, 311, -9), FLIP],
}


def coordinate_image() -> np.ndarray:
    """(H, W, 3) float32: x and y of the middle of each pixel, and 255 everywhere."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.stack((x, y, np.full_like(x, 255)), axis=-1).astype(np.float32)


def augment(steps):
    return augment_image(coordinate_image(), T.AugmentationList(steps))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_matrix_leads_back_to_the_pixel_that_is_shown(name):
    augmented = augment(AUGMENTATIONS[name])
    matrix = np.array(augmented.to_original)
    height, width = augmented.pixels.shape[:2]
    checked = 0
    for row in range(4, height - 4, 7):
        for column in range(4, width - 4, 7):
            around = augmented.pixels[row - 2 : row + 3, column - 2 : column + 3, 2]
            if around.min() < 254.9:
                continue  # what a turn brings in from outside
            x, y = matrix @ (column + 0.5, row + 0.5, 1)
            np.testing.assert_allclose((x, y), augmented.pixels[row, column, :2], atol=0.6)
            checked += 1
    assert checked > 50


def patches_of(augmented, grid, view):
    size = augmented.pixels.shape[:2]
    return ExpertPatches(0, grid, view, augmented.to_original, size)


@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize(
    "region", [(0, 0, WIDTH, HEIGHT), (20, 30, 121, 190)], ids=["all", "breast"]
)
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_tokens_get_the_patch_of_their_place(name, region, stride):
    """The expert's patches hold the coordinates that they show, so a token must get its own."""
    x0, y0, x1, y1 = region
    preprocessing = ExpertPreprocessing((224, 192), (0, 0, 0), (1, 1, 1), "bilinear")
    placement = preprocessing.placement(y1 - y0, x1 - x0)
    view = ExpertView(region, placement)
    rows, columns = 28, 24
    y, x = (np.arange(n) + 0.5 for n in (rows, columns))
    u = (x / columns - placement[0]) / (placement[2] - placement[0]) * (x1 - x0) + x0
    v = (y / rows - placement[1]) / (placement[3] - placement[1]) * (y1 - y0) + y0
    grid = torch.tensor(np.stack(np.meshgrid(u, v), axis=-1), dtype=torch.float32)
    augmented = augment(AUGMENTATIONS[name])
    patches = patches_of(augmented, grid, view)
    height, width = patches.size
    map_size = (-(-height // stride) + 2, -(-width // stride) + 1)  # more of it is padding
    centers = cell_centers(map_size, stride)
    places, is_seen = grid_places(patches, centers)
    values = patches_at(grid, places[is_seen])
    assert len(values) > 2
    found = iter(values)
    cell = (x1 - x0) / (placement[2] - placement[0]) / columns
    for i in range(map_size[0]):
        for j in range(map_size[1]):
            row, column = stride * i + stride // 2, stride * j + stride // 2
            if row >= height or column >= width:
                assert not is_seen[i, j]
                continue
            around = augmented.pixels[max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 1]
            shown = around.mean(axis=(0, 1))
            if around[..., 2].min() < 254.9:  # next to what a turn brings in
                _ = next(found) if is_seen[i, j] else None
                continue
            inside = (x0 < shown[0] < x1) and (y0 < shown[1] < y1)
            at_edge = min(abs(shown[0] - x0), abs(shown[0] - x1)) < 0.7
            at_edge |= min(abs(shown[1] - y0), abs(shown[1] - y1)) < 0.7
            assert bool(is_seen[i, j]) == inside or at_edge
            if is_seen[i, j]:
                # the grid is constant beyond the middles of the outermost patches: half a patch
                value = next(found).numpy()
                clipped = np.clip(shown[:2], (u[0], v[0]), (u[-1], v[-1]))
                np.testing.assert_allclose(value, clipped, atol=0.8)
                assert np.abs(value - shown[:2]).max() < cell
    assert next(found, None) is None


def test_interpolation_is_that_between_the_four_nearest_middles():
    grid = torch.randn(5, 7, 3, dtype=torch.float64)
    places = torch.rand(50, 2, dtype=torch.float64)
    values = patches_at(grid, places)
    for (x, y), value in zip((places * torch.tensor([7, 5]) - 0.5).tolist(), values, strict=True):
        x, y = min(max(x, 0), 6), min(max(y, 0), 4)
        left, top = min(int(x), 5), min(int(y), 3)
        a, b = x - left, y - top
        expected = (1 - b) * ((1 - a) * grid[top, left] + a * grid[top, left + 1])
        expected += b * ((1 - a) * grid[top + 1, left] + a * grid[top + 1, left + 1])
        torch.testing.assert_close(value, expected)


def test_bent_image_has_no_matrix():
    class Bend(T.Transform):
        def apply_image(self, img):
            return img

        def apply_coords(self, coords):
            return np.stack((coords[:, 0] + 0.01 * coords[:, 1] ** 2, coords[:, 1]), axis=1)

    assert augment([Bend()]).to_original is None
