import itertools

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes

from medmask.data.lesion_pasting import (
    copy_lesion,
    find_breast_mask,
    find_places,
    paste,
    paste_lesions,
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


def test_pasted_pixels_are_blended_as_defined():
    donor = torch.rand(3, 20, 20, dtype=torch.float64).mul(100).float()
    image = torch.rand(3, 30, 30).mul(100) + 50
    patch = copy_lesion(donor, torch.tensor([6.5, 7.0, 11.0, 12.2]), border=3)
    assert patch.pixels.shape == (3, 6 + 6, 5 + 6)  # rows 7 to 13 and columns 6 to 11, 3 around
    assert patch.box == pytest.approx((3.5, 3.0, 8.0, 8.2))
    result = paste(image, patch, (4, 9))
    ring, shift = [], []
    for y, x in itertools.product(range(12), range(11)):
        distance = max(3 - y, y - 8, 3 - x, x - 7, 0)
        if distance:
            ring.append((y, x))
    for c in range(3):
        below = [float(image[c, 4 + y, 9 + x]) for y, x in ring]
        above = [float(donor[c, 4 + y, 3 + x]) for y, x in ring]
        shift.append((sum(below) - sum(above)) / len(ring))
    for c, y, x in itertools.product(range(3), range(12), range(11)):
        distance = max(3 - y, y - 8, 3 - x, x - 7, 0)
        opacity = 1 - distance / 4
        above = float(donor[c, 4 + y, 3 + x]) + shift[c]
        expected = opacity * above + (1 - opacity) * float(image[c, 4 + y, 9 + x])
        assert float(result[c, 4 + y, 9 + x]) == pytest.approx(min(max(expected, 0), 255), abs=1e-3)
    outside = torch.ones(30, 30, dtype=torch.bool)
    outside[4:16, 9:20] = False
    assert torch.equal(result[:, outside], image[:, outside])


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
        options = {"border": 2, "generator": generator}
        result, boxes, index = paste_lesions(image.to(dtype), own, donor, lesions, **options)
        assert result.dtype == dtype
        assert index.tolist() == [0]  # the other touches the edge of its image
        x0, y0, x1, y1 = boxes.tensor[0].tolist()
        assert (x1 - x0, y1 - y0) == (11.75, 10.5)
        assert (x0 - 20.25) % 1 == 0  # moved by whole pixels
        assert breast[int(y0) - 2 : int(y1) + 3, int(x0) - 2 : int(x1) + 2].all()
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
        options = {"border": 2, "generator": torch.Generator()}
        result, boxes, index = paste_lesions(image, own, donor, given, **options)
        assert torch.equal(result, image)
        assert boxes.tensor.shape == (0, 4)
        assert len(index) == 0
