import numpy as np
import pytest
import torch
from torchvision.ops import nms

from medmask.evaluation.structures import Detections
from medmask.evaluation.suppression import kept_after_suppression, suppress_overlaps


def iou(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0) * max(height, 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return intersection / (areas - intersection)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(25))
def test_equals_greedy_suppression_box_by_box(random_case, seed, threshold):
    _, detections = random_case(seed)
    groups = list(zip(detections.image_indices, detections.category_indices, strict=True))
    kept = []
    for d in sorted(range(len(detections)), key=lambda d: (-detections.scores[d], d)):
        if all(
            groups[d] != groups[k] or iou(detections.boxes[d], detections.boxes[k]) <= threshold
            for k in kept
        ):
            kept.append(d)
    expected = detections.select(np.array(sorted(kept), dtype=np.int64))
    result = suppress_overlaps(detections, threshold)
    np.testing.assert_array_equal(result.boxes, expected.boxes)
    np.testing.assert_array_equal(result.scores, expected.scores)
    np.testing.assert_array_equal(result.image_indices, expected.image_indices)


def test_boxes_that_overlap_by_exactly_the_threshold_are_kept(build_case):
    boxes = [(0, 0, 0, 0, 2, 1, 0.9), (0, 0, 1, 0, 3, 1, 0.8)]  # an IoU of one third
    _, detections = build_case(1, [], boxes)
    assert len(suppress_overlaps(detections, 1 / 3)) == 2
    assert len(suppress_overlaps(detections, 0.33)) == 1


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(10))
def test_keeps_the_boxes_that_torchvision_keeps(seed, threshold):
    random = np.random.default_rng(seed)
    corners = random.integers(0, 12, (200, 2)) / 3
    sides = random.integers(0, 6, (200, 2)) / 3  # some boxes are empty, many alike
    boxes = np.concatenate([corners, corners + sides], axis=1)
    boxes[:2] *= 1e300
    scores = random.integers(0, 20, 200) / 20  # many ties
    detections = Detections(
        boxes, scores, np.zeros(200, dtype=np.int64), np.zeros(200, dtype=np.int64)
    )
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).sort().values
    np.testing.assert_array_equal(kept_after_suppression(detections, threshold), expected)


def test_all_is_kept_without_a_threshold(random_case):
    _, detections = random_case(0)
    assert suppress_overlaps(detections, None) is detections


def test_nothing_is_kept_of_nothing():
    none = np.zeros(0, dtype=np.int64)
    detections = Detections(np.zeros((0, 4)), np.zeros(0), none, none)
    assert len(kept_after_suppression(detections, 0.5)) == 0
