import pytest
import torch

from medmask.stages.distillation.retrieval import Retrieval


def measure(student, expert):
    retrieval = Retrieval()
    for rows in zip(student.split(7), expert.split(7), strict=True):
        retrieval.add(*rows)
    return retrieval.measure()


def test_a_student_near_the_expert_finds_its_embeddings():
    expert = torch.randn(40, 16)
    student = 5 * expert + torch.randn_like(expert)
    found = measure(student, expert)
    assert found.value > 0.9
    assert found.constant == 1 / 40
    assert found.beats_constant


@pytest.mark.parametrize("kind", ["constant", "random"])
def test_a_student_that_ignores_the_object_does_not(kind):
    expert = torch.randn(40, 16)
    student = torch.randn(1, 16).expand(40, 16) if kind == "constant" else torch.randn(40, 16)
    assert not measure(student, expert).beats_constant


def test_accuracy_is_that_of_a_search_one_by_one():
    expert = torch.randn(30, 4)
    student = expert + 0.7 * torch.randn_like(expert)
    right = sum(
        max(range(30), key=lambda j: float(torch.cosine_similarity(student[i], expert[j], 0))) == i
        for i in range(30)
    )
    assert 3 < right < 29
    assert measure(student, expert).value == pytest.approx(right / 30)


def test_an_expert_that_is_the_same_for_all_can_not_be_told_apart():
    expert = torch.ones(10, 4)
    assert measure(expert, expert).value == 0
    assert measure(expert[:1], expert[:1]) is None
