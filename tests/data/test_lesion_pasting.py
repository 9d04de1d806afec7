import itertools

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes

from medmask.data.lesion_pasting import (
    Contribution,
    add,
    cut_out,
    find_breast_mask,
    find_places,
    paste_lesions,
    turned,
)


def mammogram(height=96, width=80, level=120):
    """A bright half ellipse at the left edge, on black, with noise."""
    plane = np.zeros((height, width), np.uint8)
    cv2.ellipse(plane, (0, height // 2), (width * 3 // 4, height * 2 // 5), 0, 0, 360, level, -1)
    noise = np.random.default_rng(0).integers(0, 10, plane.shape)
    return torch.from_numpy(np.where(plane > 0, plane + noise, 0).astype(np.uint8)).repeat(3, 1, 1)


def test_places_are_those_of_a_search_pixel_by_pixel():
    random = np.random.default_rng(1)
    breast = random.random((9, 11)) < 0.93
    boxes = torch.tensor([[1.5, 2.2, 3.1, 4.0], [-2.0, 7.0, 1.0, 20.0]])
    expected = []
    for row, column in itertools.product(range(9 - 3 + 1), range(11 - 2 + 1)):
        pixels = itertools.product(range(row, row + 3), range(column, column + 2))
        if all(
            breast[y, x]
            and not any(
                x < x1 and x + 1 > x0 and y < y1 and y + 1 > y0 for x0, y0, x1, y1 in boxes.tolist()
            )
            for y, x in pixels
        ):
            expected.append([row, column])
    assert find_places(breast, boxes, (3, 2)).tolist() == expected
    assert expected
    assert len(find_places(breast, boxes, (10, 2))) == 0


def test_gray_levels_are_those_above_a_plane_and_fade_as_defined():
    image = torch.rand(3, 40, 40).mul(200)
    x0, y0, x1, y1 = box = (12.5, 10.0, 21.0, 22.2)
    lesion = cut_out(image, torch.tensor(box), margin=0.5)
    a, b = (x1 - x0) / 2, (y1 - y0) / 2
    left, top = 10, 6  # 12.5 - 2.125 and 10 - 3.05, rounded down
    assert lesion.gray_levels.shape == (3, 26 - 6, 24 - 10)
    assert lesion.box == pytest.approx((x0 - left, y0 - top, x1 - left, y1 - top))
    weights, around = {}, []
    for y, x in itertools.product(range(20), range(14)):
        dx, dy = x + left + 0.5 - (x0 + x1) / 2, y + top + 0.5 - (y0 + y1) / 2
        inner, outer = np.hypot(dx / a, dy / b), np.hypot(dx / (1.5 * a), dy / (1.5 * b))
        if inner <= 1:
            weights[y, x] = 1.0
        elif outer < 1:
            way = (inner - 1) / (inner - 1 + 1 - outer)
            weights[y, x] = (1 + np.cos(np.pi * way)) / 2
            around.append((y, x))
    for channel, plane in enumerate(image.numpy().astype(np.float64)):
        levels = [plane[y + top, x + left] for y, x in around]
        terms = [(1, x, y) for y, x in around]
        constant, by_x, by_y = np.linalg.lstsq(np.array(terms), np.array(levels))[0]
        for y, x in itertools.product(range(20), range(14)):
            excess = plane[y + top, x + left] - (constant + by_x * x + by_y * y)
            expected = weights.get((y, x), 0) * excess
            assert float(lesion.gray_levels[channel, y, x]) == pytest.approx(expected, abs=1e-2)


def test_what_is_cut_out_does_not_know_its_background():
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    inside = ((columns - 29) / 9) ** 2 + ((rows - 31) / 11) ** 2 < 1
    blob = torch.where(inside, torch.rand(60, 60) * 40, torch.zeros(())).repeat(3, 1, 1)
    slope = (20 + 1.5 * columns - 0.25 * rows).repeat(3, 1, 1)
    box = torch.tensor([20.0, 20.0, 39.0, 43.0])
    lesion = cut_out(slope + blob, box, margin=0.4)
    empty = torch.zeros(3, 60, 60)
    place = (15, 16)  # where it was: 20 - 0.4 * 11.5 and 20 - 0.4 * 9.5, rounded down
    torch.testing.assert_close(add(empty, lesion, place), blob, atol=2e-4, rtol=0)


def test_a_sum_stays_in_range_and_bytes_are_rounded():
    lesion = Contribution(torch.tensor([[-9.0, 0.6, 0.4, 9.0]]).repeat(3, 2, 1), (0, 0, 4, 2))
    image = torch.tensor([3, 10, 10, 250], dtype=torch.uint8).expand(3, 2, 4)
    assert add(image, lesion, (0, 0))[0, 0].tolist() == [0, 11, 10, 255]
    assert add(image.float(), lesion, (0, 0))[0, 0].tolist() == pytest.approx([0, 10.6, 10.4, 255])
    assert image[0, 0].tolist() == [3, 10, 10, 250]


def test_a_turned_lesion_lies_in_its_turned_box():
    gray_levels = torch.zeros(3, 7, 9)
    gray_levels[:, 1:3, 2:7] = torch.rand(3, 2, 5) + 1
    lesion = Contribution(gray_levels, (2, 1, 7, 3))
    seen = set()
    for way in range(8):
        levels, (x0, y0, x1, y1) = turned(lesion, way)
        assert (x1 - x0, y1 - y0) == ((2, 5) if way & 4 else (5, 2))
        assert levels[:, y0:y1, x0:x1].sum() == pytest.approx(float(gray_levels.sum()))
        assert int((levels > 0).sum()) == 3 * 2 * 5
        seen.add(tuple(levels[0].flatten().tolist()) + tuple(levels.shape))
    assert len(seen) == 8


@pytest.mark.parametrize("side", [0.01, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5])
def test_smallest_boxes_have_finite_gray_levels(side, offset):
    image = torch.rand(3, 12, 12).mul(255)
    box = torch.tensor([5.0, 5.0, 5.0 + side, 5.0 + side]) + offset
    assert cut_out(image, box, margin=0.0).gray_levels.isfinite().all()


@pytest.mark.parametrize("box", [[5, 4, 5, 8], [4, 5, 8, 5], [5, 5, 5, 5]])
def test_empty_boxes_hold_no_lesion(box):
    assert cut_out(torch.rand(3, 12, 12).mul(255), torch.tensor(box).float(), margin=0.4) is None


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["bytes", "floats"])
def test_lesions_come_to_lie_in_the_breast_and_on_no_lesion(dtype):
    image, donor = mammogram(), mammogram(level=200)
    donor[:, 40:50, 20:32] = 255
    own = Boxes(torch.tensor([[5.0, 40.0, 25.0, 60.0]]))
    lesions = Boxes(torch.tensor([[20.25, 40.0, 32.0, 50.5], [0.0, 30.0, 6.0, 36.0]]))
    breast = find_breast_mask(image)
    assert 0.2 < breast.mean() < 0.6
    places = set()
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        options = {"margin": 0.2, "generator": generator}
        result, boxes, index = paste_lesions(image.to(dtype), own, donor, lesions, **options)
        assert result.dtype == dtype
        assert index.tolist() == [0]  # the other touches the edge of its image
        x0, y0, x1, y1 = boxes.tensor[0].tolist()
        assert sorted((x1 - x0, y1 - y0)) == [10.5, 11.75]  # turned, or not
        assert breast[int(y0 - 1) : int(y1 + 2), int(x0 - 1) : int(x1 + 2)].all()
        assert not (x0 < 25 and x1 > 5 and y0 < 60 and y1 > 40)
        assert not torch.equal(result, image.to(dtype))
        places.add((x0, y0))
    assert len(places) > 5


def test_images_without_breast_or_place_stay_as_they_are():
    lesion = Boxes(torch.tensor([[20.0, 40.0, 32.0, 50.0]]))
    whole = Boxes(torch.tensor([[0.0, 0.0, 80.0, 96.0]]))
    none = Boxes(torch.zeros(0, 4))
    black, donor = torch.zeros(3, 96, 80, dtype=torch.uint8), mammogram()
    for image, own, given in ((black, none, lesion), (donor, whole, lesion), (donor, none, none)):
        options = {"margin": 0.2, "generator": torch.Generator()}
        result, boxes, index = paste_lesions(image, own, donor, given, **options)
        assert torch.equal(result, image)
        assert boxes.tensor.shape == (0, 4)
        assert len(index) == 0
