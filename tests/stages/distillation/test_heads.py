import math

import pytest
import torch
from torch.testing import assert_close

from medmask.modeling.matcher import Matches
from medmask.stages.distillation import (
    CosineLoss,
    ExpertDistillation,
    ExpertEmbeddings,
    InfoNCE,
    WordClasses,
)

C, D, QUERIES = 4, 3, 5
MATCHES = Matches(*torch.tensor([[0, 0, 2], [4, 1, 0], [1, 0, 0]]))
CLASSES = WordClasses(torch.nn.functional.normalize(torch.tensor([[1.0, 2, 0], [0, -1, 1]])), 5.0)
NAMES = ["image", "lesion", "zero_shot"]


def make(**options):
    defaults = {"query_dim": C, "expert_dim": D, "loss": CosineLoss(), "queue_size": 4}
    weights = dict.fromkeys(("image_weight", "lesion_weight", "zero_shot_weight"), 1.0)
    return ExpertDistillation(**(defaults | weights | options))


def seen(*index):
    return ExpertEmbeddings(
        torch.tensor(index, dtype=torch.int64),
        torch.randn(len(index), D),
        torch.tensor(index, dtype=torch.int64) + 100,
    )


def cosine(a, b):
    return (sum(a * b) / (sum(a * a) * sum(b * b)).sqrt()).detach().item()


def test_image_level_is_the_mean_of_unit_queries():
    distillation = make(lesion_weight=0, zero_shot_weight=0, image_weight=0.5)
    queries, images = torch.randn(3, QUERIES, C), seen(0, 2)  # the second image is unseen
    losses = distillation(queries, MATCHES, images, seen(), CLASSES)
    assert list(losses) == ["image"]
    total = 0.0
    for row, image in enumerate((0, 2)):
        pooled = sum(q / sum(q * q).sqrt() for q in queries[image]) / QUERIES
        total += 1 - cosine(distillation.image_head(pooled), images.embeddings[row])
    assert losses["image"].item() == pytest.approx(0.5 * total / 2, rel=1e-5)


def test_lesion_level_is_of_the_matched_queries():
    distillation = make(image_weight=0, zero_shot_weight=0, lesion_weight=2.0)
    queries, lesions = torch.randn(3, QUERIES, C), seen(2, 0)  # the second match is unseen
    losses = distillation(queries, MATCHES, seen(), lesions, CLASSES)
    assert list(losses) == ["lesion"]
    total = 0.0
    for row, query in enumerate((queries[2, 0], queries[0, 4])):
        total += 1 - cosine(distillation.lesion_head(query), lesions.embeddings[row])
    assert losses["lesion"].item() == pytest.approx(2 * total / 2, rel=1e-5)


def test_zero_shot_is_the_divergence_from_the_expert():
    distillation = make(image_weight=0, lesion_weight=0, zero_shot_weight=3.0)
    queries, lesions = torch.randn(3, QUERIES, C), seen(1)
    losses = distillation(queries, MATCHES, seen(), lesions, CLASSES)
    assert list(losses) == ["zero_shot"]

    def assign(x):
        odds = [math.exp(5.0 * cosine(x, t)) for t in CLASSES.embeddings]
        return [o / sum(odds) for o in odds]

    expert = assign(lesions.embeddings[0])
    student = assign(distillation.lesion_head(queries[0, 1]))
    divergence = sum(p * math.log(p / q) for p, q in zip(expert, student, strict=True))
    assert losses["zero_shot"].item() == pytest.approx(3 * divergence, rel=1e-4)


def test_student_that_is_the_expert_has_no_loss():
    distillation = make(query_dim=D, queue_size=0)
    distillation.lesion_head = distillation.image_head = torch.nn.Identity()
    queries = torch.randn(3, 1, D)
    everything = ExpertEmbeddings(torch.arange(3), 7 * queries[:, 0], torch.arange(3))
    matches = Matches(torch.arange(3), *torch.zeros(2, 3, dtype=torch.int64))
    losses = distillation(queries, matches, everything, everything, CLASSES)
    assert list(losses) == NAMES
    assert_close(torch.stack(list(losses.values())), torch.zeros(3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", [InfoNCE(), CosineLoss()])
@pytest.mark.parametrize("images", [(), (1,)])
@pytest.mark.parametrize("off", [(), ("image_weight",), ("lesion_weight", "zero_shot_weight")])
def test_every_parameter_takes_part_whatever_was_seen(loss, images, off):
    distillation = make(loss=loss, **dict.fromkeys(off, 0.0))
    queries = torch.randn(3, QUERIES, C, requires_grad=True)
    losses = distillation(queries, MATCHES, seen(*images), seen(), CLASSES)
    sum(losses.values()).backward()
    parameters = list(distillation.parameters())
    assert parameters
    assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)
    assert queries.grad.isfinite().all()
    if not images:
        assert all(loss == 0 for loss in losses.values())


def test_both_levels_have_queues_of_their_own():
    distillation = make(loss=InfoNCE())
    queries = torch.randn(3, QUERIES, C)
    distillation(queries, MATCHES, seen(0, 1), seen(2), CLASSES)
    assert distillation.image_contrast.queue.keys.tolist() == [100, 101, 0, 0]
    assert distillation.lesion_contrast.queue.keys.tolist() == [102, 0, 0, 0]
    distillation.clear_queues()
    assert distillation.image_contrast.queue.count == 0
    assert distillation.lesion_contrast.queue.count == 0


def test_autocast_gives_float32_losses():
    distillation = make()
    arguments = torch.randn(3, QUERIES, C), MATCHES, seen(0, 1), seen(0, 2), CLASSES
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = distillation(*arguments)
    for name, loss in distillation(*arguments).items():
        assert losses[name].dtype == torch.float32
        assert_close(losses[name], loss, rtol=0.05, atol=0.01)
