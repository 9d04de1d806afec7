import pytest
import torch
import torchvision
from torch.testing import assert_close

from medmask.modeling import generalized_box_iou


def to_corners(boxes):
    return torchvision.ops.box_convert(boxes, "cxcywh", "xyxy")


def test_agrees_with_torchvision_on_all_pairs():
    a, b = torch.rand(2, 30, 4, dtype=torch.float64)
    expected = torchvision.ops.generalized_box_iou(to_corners(a), to_corners(b))
    assert (expected < 0).any()
    assert (expected > 0.3).any()
    assert_close(generalized_box_iou(a[:, None], b), expected)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.4], 1.0),
        ([0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.2, 0.2], 0.25),  # one in the other
        ([0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0], 0.0),  # side by side
        ([0.25, 0.5, 0.5, 1.0], [2.75, 0.5, 0.5, 1.0], -2 / 3),  # two widths apart
        ([0.5, 0.5, 0.0, 0.0], [0.5, 0.5, 0.2, 0.2], 0.0),  # a point in a box
        ([0.5, 0.5, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], 0.0),  # the same point
        ([0.5, 0.5, 0.0, 0.2], [0.5, 0.5, 0.0, 0.2], 0.0),  # the same line
        ([0.2, 0.2, 0.0, 0.0], [0.8, 0.6, 0.0, 0.0], -1.0),  # two points: an empty hull
        ([0.5, 0.5, -0.2, 0.2], [0.5, 0.5, 0.2, 0.2], 0.0),  # turned inside out: no area
    ],
)
def test_special_cases_have_their_value_and_a_finite_gradient(a, b, expected):
    a = torch.tensor(a, requires_grad=True)
    giou = generalized_box_iou(a, torch.tensor(b))
    assert_close(giou.item(), expected, rtol=0, atol=1e-5)
    giou.backward()
    assert a.grad.isfinite().all()
    assert a.grad.abs().max() < 1e8


def test_gradient_is_the_derivative():
    a, b = (torch.rand(6, 4, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(generalized_box_iou, (a, b))
