import math

import pytest
import torch
from torch.nn import functional as F

from medmask.modeling.boxes import DetectionTarget
from medmask.modeling.matcher import Matches
from medmask.stages.distillation.heads import WordClasses
from medmask.stages.distillation.normal_queries import find_normal_queries, normal_cross_entropy

NUM_QUERIES = 40


def make_batch(*num_lesions):
    torch.manual_seed(3)
    boxes = torch.rand(len(num_lesions), NUM_QUERIES, 4) * torch.tensor([1, 1, 0.3, 0.3])
    targets = [
        DetectionTarget(
            torch.zeros(n, dtype=torch.int64), torch.rand(n, 4) * torch.tensor([1, 1, 0.3, 0.2])
        )
        for n in num_lesions
    ]
    triples = [(i, 7 + 3 * t, t) for i, n in enumerate(num_lesions) for t in range(n)]
    columns = torch.tensor(triples, dtype=torch.int64).reshape(-1, 3).unbind(1)
    return torch.randn(len(num_lesions), NUM_QUERIES, 2), boxes, targets, Matches(*columns)


def are_apart(box, lesion):
    """The box and the lesion's box of twice the width and height have no point in common."""
    (x, y, w, h), (cx, cy, cw, ch) = box.tolist(), lesion.tolist()
    left, right = x + w / 2 < cx - cw, x - w / 2 > cx + cw
    above, below = y + h / 2 < cy - ch, y - h / 2 > cy + ch
    return left or right or above or below


@pytest.mark.parametrize("number", [1, 4, 30, 1000])
def test_the_highest_unmatched_queries_far_from_lesions_are_found(number):
    logits, boxes, targets, matches = make_batch(2, 0, 1, 3)
    expected = set()
    for image, target in enumerate(targets):
        matched = {q for i, q, _ in zip(*(x.tolist() for x in matches), strict=True) if i == image}
        free = [
            query
            for query in range(NUM_QUERIES)
            if query not in matched
            and all(are_apart(boxes[image, query], lesion) for lesion in target.boxes)
        ]
        assert 0 < len(free) <= NUM_QUERIES - len(matched)
        free.sort(key=lambda query: -logits[image, query].max().item())
        expected |= {(image, query) for query in free[:number]}
    found = find_normal_queries(logits, boxes, targets, matches, number)
    pairs = list(zip(*(x.tolist() for x in found), strict=True))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected


def test_an_image_full_of_lesions_has_none():
    logits, boxes, targets, matches = make_batch(1)
    targets = [DetectionTarget(targets[0].labels, torch.tensor([[0.5, 0.5, 1.0, 1.0]]))]
    images, queries = find_normal_queries(logits, boxes, targets, matches, 5)
    assert len(images) == len(queries) == 0


def test_loss_is_the_cross_entropy_of_the_class():
    torch.manual_seed(0)
    classes = WordClasses(F.normalize(torch.randn(3, 8), dim=1), 10.0)
    student = torch.randn(5, 8, requires_grad=True)
    expected = 0.0
    for row in student.detach().double():
        logits = [10 * float(row @ t.double()) / float(row.norm()) for t in classes.embeddings]
        expected -= math.log(math.exp(logits[1]) / sum(map(math.exp, logits))) / 5
    loss = normal_cross_entropy(student, classes, 1)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert student.grad.isfinite().all()


def test_without_queries_the_loss_is_zero_and_in_the_graph():
    classes = WordClasses(F.normalize(torch.randn(3, 8), dim=1), 10.0)
    student = torch.empty(0, 8, requires_grad=True)
    loss = normal_cross_entropy(student, classes, 0)
    assert loss.item() == 0
    loss.backward()
