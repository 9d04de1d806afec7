"""The measures against their definitions, written out by brute force."""

import itertools
import math

import numpy as np
import pytest

from medmask.annotation.uncertainty import (
    ImageDetections,
    disagreement,
    entropy,
    least_confidence,
    margin,
)

RANDOM = np.random.default_rng(0)


def overlap(a, b):
    """Intersection over union, side by side."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return shared / (sum(areas) - shared)


def brute_force_disagreement(first, second):
    """The best of all ways to pair detections, tried one after the other."""
    if len(first.scores) > len(second.scores):
        first, second = second, first
    best = 0.0
    for columns in itertools.permutations(range(len(second.scores)), len(first.scores)):
        common = 0.0
        for i, j in enumerate(columns):
            if first.categories[i] == second.categories[j]:
                lower = min(first.scores[i], second.scores[j])
                common += overlap(first.boxes[i], second.boxes[j]) * lower
        best = max(best, common)
    total = sum(first.scores) + sum(second.scores)
    return 1 - best / (total - best) if total else 0.0


def draw(random, count):
    near = random.uniform(0, 30, (count, 2))
    boxes = np.concatenate([near, near + random.uniform(5, 30, (count, 2))], axis=1)
    return ImageDetections(boxes, random.random(count), random.choice(["mass", "calc"], count))


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), (1, 1), (3, 2), (4, 5)], ids=str)
@pytest.mark.parametrize("seed", range(8))
def test_disagreement(counts, seed):
    random = np.random.default_rng(seed)
    first, second = (draw(random, count) for count in counts)
    found = disagreement(first, second)
    assert found == pytest.approx(brute_force_disagreement(first, second), abs=1e-12)
    assert found == pytest.approx(disagreement(second, first), abs=1e-12)
    assert 0 <= found <= 1


def test_disagreement_of_the_same_is_none():
    detections = draw(RANDOM, 4)
    assert disagreement(detections, detections) == pytest.approx(0, abs=1e-12)
    turned = ImageDetections(*(x[::-1] for x in detections))
    assert disagreement(detections, turned) == pytest.approx(0, abs=1e-12)


def test_disagreement_with_nothing_is_total():
    assert disagreement(draw(RANDOM, 0), draw(RANDOM, 2)) == 1


@pytest.mark.parametrize("scores", [[], [0.5], [0.0, 1.0], [0.1, 0.9, 0.3], [1e-300]], ids=str)
def test_entropy(scores):
    wanted = 0.0
    for p in scores:
        for outcome in (p, 1 - p):
            wanted -= outcome * math.log2(outcome) if 0 < outcome < 1 else 0
    assert entropy(np.array(scores)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9, 1.0], ids=str)
@pytest.mark.parametrize("scores", [[], [0.3], [0.1, 0.95], [1.0]], ids=str)
def test_margin(scores, threshold):
    nearest = min(abs(score - threshold) for score in scores or [0.0])
    wanted = 1 - nearest / max(threshold, 1 - threshold)
    assert margin(np.array(scores), threshold) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("probability", "wanted"), [(0, 0), (1, 0), (0.5, 0.5), (0.3, 0.3), (0.8, 0.2)]
)
def test_least_confidence(probability, wanted):
    """One minus the probability of the likelier of two answers."""
    assert least_confidence(probability) == pytest.approx(wanted)
