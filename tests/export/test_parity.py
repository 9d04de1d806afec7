"""The comparison finds what differs, and forgives near ties alone."""

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from medmask.export.parity import TOLERANCE, Batch, batch_sizes, find_difference

SIZE = (50, 100)


def make_candidates(scores, classes=None):
    count = len(scores)
    boxes = torch.arange(count * 4.0).view(count, 4) % 40
    boxes[:, 2:] += boxes[:, :2]
    return Instances(
        SIZE,
        pred_boxes=Boxes(boxes),
        scores=torch.tensor(scores),
        pred_classes=torch.tensor(classes or [0] * count),
    )


@pytest.fixture
def batch():
    """An image of five candidates, three of which are chosen; the last two are a near tie."""
    candidates = make_candidates([0.9, 0.8, 0.5, 0.499999, 0.1], [0, 1, 0, 0, 0])
    return Batch(torch.zeros(1, 3, *SIZE), torch.tensor([SIZE]), [candidates], 3)


def outputs_of(batch, order=(0, 1, 2)):
    candidates = batch.candidates[0]
    order = list(order)
    return (
        candidates.pred_boxes.tensor[order][None].numpy().copy(),
        candidates.scores[order][None].numpy().copy(),
        candidates.pred_classes[order][None].numpy().copy(),
    )


def test_equal_outputs_do_not_differ(batch):
    assert find_difference(outputs_of(batch), batch) == 0


def test_either_of_a_near_tie_is_right(batch):
    assert 0 < find_difference(outputs_of(batch, (0, 1, 3)), batch) < 1e-5


def test_order_of_a_near_tie_does_not_count():
    candidates = make_candidates([0.5, 0.499999])
    batch = Batch(torch.zeros(1, 3, *SIZE), torch.tensor([SIZE]), [candidates], 2)
    assert 0 < find_difference(outputs_of(batch, (1, 0)), batch) < 1e-5


def test_candidate_that_is_chosen_twice_differs(batch):
    assert find_difference(outputs_of(batch, (0, 1, 1)), batch) > TOLERANCE


def test_candidate_of_a_lower_rank_differs(batch):
    assert find_difference(outputs_of(batch, (0, 1, 4)), batch) == pytest.approx(0.4)


def test_box_differs_by_the_share_of_the_side(batch):
    boxes, scores, classes = outputs_of(batch)
    boxes[0, 1, 0] += 1  # of a width of 100
    assert find_difference((boxes, scores, classes), batch) == pytest.approx(0.01, rel=1e-3)
    boxes[0, 2, 1] += 1  # of a height of 50
    assert find_difference((boxes, scores, classes), batch) == pytest.approx(0.02, rel=1e-3)


def test_score_class_and_number_count(batch):
    boxes, scores, classes = outputs_of(batch)
    assert find_difference((boxes, scores + 0.002, classes), batch) == pytest.approx(
        0.002, rel=1e-2
    )
    assert find_difference((boxes, scores, classes + 5), batch) == np.inf
    assert find_difference((boxes[:, :2], scores[:, :2], classes[:, :2]), batch) == np.inf


@pytest.mark.parametrize("part", [0, 1], ids=["boxes", "scores"])
def test_outputs_that_are_not_finite_differ(batch, part):
    outputs = outputs_of(batch)
    outputs[part][0, 1] = np.nan
    assert find_difference(outputs, batch) == np.inf


def test_batches_hold_odd_sizes_one_image_several_and_both_aspects():
    batches = batch_sizes(800)
    assert {len(sizes) for sizes in batches} >= {1, 2, 3}
    all_sizes = [size for sizes in batches for size in sizes]
    assert any(height % 2 and width % 2 for height, width in all_sizes)
    assert {height > width for height, width in all_sizes} == {True, False}
    assert max(min(size) for size in all_sizes) == 800
