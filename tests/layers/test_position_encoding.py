import math

import pytest
import torch
from torch.testing import assert_close

from medmask.errors import InputError
from medmask.layers import SinePositionEncoding, box_position_encoding


def encode(coordinate, num_channels):
    """Attention Is All You Need, section 3.5: sine on even channels, cosine on odd ones."""
    encoding = []
    for i in range(num_channels // 2):
        angle = coordinate / 10000 ** (2 * i / num_channels)
        encoding += [math.sin(angle), math.cos(angle)]
    return encoding


@pytest.mark.parametrize("num_channels", [4, 12, 64])
def test_every_pixel_inside_the_image_has_its_share_of_the_extent(num_channels):
    height, width = 5, 7
    extents = [(5, 7), (3, 4), (1, 1)]
    mask = torch.ones(len(extents), height, width, dtype=torch.bool)
    for image, (h, w) in enumerate(extents):
        mask[image, :h, :w] = False
    encoding = SinePositionEncoding(num_channels)(mask)
    assert encoding.shape == (len(extents), num_channels, height, width)
    assert encoding.isfinite().all()
    for image, (h, w) in enumerate(extents):
        for row in range(h):
            for column in range(w):
                y = (row + 0.5) / h * 2 * math.pi
                x = (column + 0.5) / w * 2 * math.pi
                expected = encode(y, num_channels // 2) + encode(x, num_channels // 2)
                actual = encoding[image, :, row, column].double()
                assert_close(actual, torch.tensor(expected).double(), rtol=0, atol=2e-5)


def test_box_encoding_is_that_of_its_coordinates_one_after_another():
    boxes = torch.rand(2, 3, 4)
    encoding = box_position_encoding(boxes, 6)
    assert encoding.shape == (2, 3, 24)
    for image in range(2):
        for query in range(3):
            coordinates = boxes[image, query].tolist()
            expected = [e for c in coordinates for e in encode(c * 2 * math.pi, 6)]
            assert_close(encoding[image, query], torch.tensor(expected), rtol=0, atol=1e-5)


def test_boxes_in_half_precision_are_encoded_in_full_precision():
    boxes = torch.rand(3, 4).bfloat16()
    assert_close(box_position_encoding(boxes, 8), box_position_encoding(boxes.float(), 8))


def test_channels_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(InputError, match="num_channels must be divisible by 4, got 6"):
        SinePositionEncoding(6)
