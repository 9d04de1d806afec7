import pytest
import torch

from medmask.stages.mean_teacher.pseudo_labels import select_pseudo_labels

APART = [[0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1]]


def select(scores, boxes, thresholds):
    """One image: scores (Q, K), boxes (Q, 4)."""
    logits = torch.tensor(scores, dtype=torch.float64).logit().float()
    boxes = torch.tensor(boxes, dtype=torch.float32)
    return select_pseudo_labels(logits[None], boxes[None], torch.tensor(thresholds))[0]


def test_the_best_class_decides():
    """The first query's second class is above its threshold, but is not its best class."""
    found = select([[0.5, 0.4], [0.2, 0.7], [0.65, 0.1]], APART, [0.6, 0.3])
    assert found.labels.tolist() == [1, 0]
    assert found.scores.tolist() == pytest.approx([0.7, 0.65])
    assert found.boxes.tolist() == [pytest.approx(APART[1]), pytest.approx(APART[2])]


def test_a_score_at_the_threshold_is_not_above_it():
    found = select([[0.5], [0.5 + 1e-6], [0.1]], APART, [0.5])
    assert found.boxes.tolist() == [pytest.approx(APART[1])]


def test_of_overlapping_boxes_the_best_stays_whatever_its_class():
    # of width 0.2 and 0.1 apart the IoU is 1/3; 0.02 apart it is 0.18/0.22
    boxes = [[0.5, 0.5, 0.2, 0.2], [0.52, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2]]
    found = select([[0.6, 0.1], [0.1, 0.8], [0.7, 0.1]], boxes, [0.5, 0.5])
    assert found.labels.tolist() == [1, 0]
    assert found.boxes[:, 0].tolist() == pytest.approx([0.52, 0.6])


def test_an_iou_of_the_limit_is_allowed():
    """Suppression starts above 0.7: boxes of one size, 3/17 of a side apart, have that IoU."""
    for shift, count in ((3 / 17 - 1e-3, 1), (3 / 17 + 1e-3, 2)):
        boxes = [[0.5, 0.5, 0.2, 0.3], [0.5 + 0.2 * shift, 0.5, 0.2, 0.3]]
        assert len(select([[0.9], [0.8]], boxes, [0.5]).scores) == count


def test_images_are_independent_and_may_have_none():
    logits = torch.tensor([[[-3.0]], [[2.0]]])
    boxes = torch.tensor([APART[:1], APART[:1]])
    first, second = select_pseudo_labels(logits, boxes, torch.tensor([0.5]))
    assert first.boxes.shape == (0, 4)
    assert first.labels.shape == first.scores.shape == (0,)
    assert first.labels.dtype == torch.int64
    assert len(second.scores) == 1
