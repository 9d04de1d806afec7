import math

import pytest
import torch
from torch.testing import assert_close

from medmask.errors import InputError
from medmask.modeling.postprocessing import select_detections, suppress_overlaps


def select_slowly(logits, boxes, image_size, max_detections):
    """(score, class, box in pixels) of one image, the best first."""
    height, width = image_size
    detections = []
    for query in range(logits.shape[0]):
        cx, cy, w, h = boxes[query].tolist()
        box = [
            min(max((cx - w / 2) * width, 0), width),
            min(max((cy - h / 2) * height, 0), height),
            min(max((cx + w / 2) * width, 0), width),
            min(max((cy + h / 2) * height, 0), height),
        ]
        for category in range(logits.shape[1]):
            score = 1 / (1 + (-logits[query, category].double()).exp().item())
            detections.append((score, category, box))
    return sorted(detections, reverse=True)[:max_detections]


@pytest.mark.parametrize("max_detections", [1, 7, 1000])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_best_pairs_of_query_and_class_are_taken(num_classes, max_detections):
    logits, boxes = torch.randn(2, 8, num_classes), torch.rand(2, 8, 4)
    sizes = [(20, 30), (101, 7)]
    results = select_detections(logits, boxes, sizes, max_detections)
    for image, (result, size) in enumerate(zip(results, sizes, strict=True)):
        expected = select_slowly(logits[image], boxes[image], size, max_detections)
        assert result.image_size == size
        assert len(result) == len(expected) == min(max_detections, 8 * num_classes)
        scores, classes, corners = zip(*expected, strict=True)
        assert_close(result.scores, torch.tensor(scores))
        assert result.pred_classes.tolist() == list(classes)
        assert_close(result.pred_boxes.tensor, torch.tensor(corners), rtol=1e-5, atol=1e-4)


def suppress_slowly(detections, iou):
    """What is kept of (score, class, box), the best first: all pairs are looked at."""
    kept = []
    for score, category, box in detections:
        others = [b for _, c, b in kept if c == category]
        if all(overlap(box, other) <= iou for other in others):
            kept.append((score, category, box))
    return kept


def overlap(a, b):
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return common / (areas - common)


@pytest.mark.parametrize("nms_iou", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_overlaps_are_suppressed_class_by_class_among_what_is_selected(num_classes, nms_iou):
    logits = torch.randn(2, 20, num_classes)
    boxes = torch.cat((torch.rand(2, 20, 2) * 0.4 + 0.3, torch.rand(2, 20, 2) * 0.2 + 0.2), -1)
    sizes = [(20, 30), (101, 7)]
    results = select_detections(logits, boxes, sizes, 15, nms_iou)
    for image, (result, size) in enumerate(zip(results, sizes, strict=True)):
        expected = suppress_slowly(select_slowly(logits[image], boxes[image], size, 15), nms_iou)
        scores, classes, corners = zip(*expected, strict=True)
        assert_close(result.scores, torch.tensor(scores))
        assert result.pred_classes.tolist() == list(classes)
        assert_close(result.pred_boxes.tensor, torch.tensor(corners), rtol=1e-5, atol=1e-4)
    assert (sum(map(len, results)) < 30) == (nms_iou < 1)


def test_nothing_is_suppressed_without_an_iou_or_without_a_detection():
    (some,) = select_detections(torch.randn(1, 4, 1), torch.full((1, 4, 4), 0.5), [(9, 9)], 4)
    assert suppress_overlaps(some, None) is some
    assert len(suppress_overlaps(some, 0.5)) == 1
    assert len(suppress_overlaps(some[:0], 0.5)) == 0


def test_scores_of_half_precision_logits_are_in_single_precision():
    (result,) = select_detections(
        torch.full((1, 1, 1), 3.0).bfloat16(), torch.rand(1, 1, 4), [(9, 9)], 1
    )
    assert_close(result.scores, torch.tensor([1 / (1 + math.exp(-3))]))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["logits", "boxes"])
def test_what_is_not_finite_is_refused(where, value):
    output = {"logits": torch.randn(1, 8, 1), "boxes": torch.rand(1, 8, 4)}
    output[where][0, 3, 0] = value
    with pytest.raises(InputError, match="not finite"):
        select_detections(**output, image_sizes=[(9, 9)], max_detections=5)
