import numpy as np
import pytest
import torch

from medmask.stages.distillation import CosineLoss, ExpertContrast, InfoNCE
from medmask.stages.distillation.embedding_space import EmbeddingSpace


def cone(count, dim=6):
    """Unit vectors that are nearly alike, and differ mostly in one direction."""
    random = np.random.default_rng(0)
    x = random.normal(size=(count, dim)) * ([0.3] + [0.02] * (dim - 1)) + 2
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_whitened_embeddings_have_no_common_part_and_even_directions():
    x = cone(4000)
    whitened = EmbeddingSpace(x, "whitened")(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-3)
    covariance = np.cov(x.T, bias=True)
    variances, directions = np.linalg.eigh(covariance)
    expected = variances / (variances + 0.1 * variances.mean())
    np.testing.assert_allclose(
        np.cov((whitened @ directions).T, bias=True), np.diag(expected), atol=1e-3
    )
    centered = EmbeddingSpace(x, "centered")(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(centered, x - x.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_embeddings_leave_the_space_as_it_is(count):
    x = cone(count)
    y = torch.from_numpy(cone(5))
    torch.testing.assert_close(EmbeddingSpace(x, "whitened")(y), y)


def test_perfect_student_has_less_loss_in_the_whitened_space():
    x = torch.from_numpy(cone(64)).float()
    keys = torch.arange(64)
    losses = [
        ExpertContrast(InfoNCE(0.1), 0, 6, space)(x, x, keys).item()
        for space in (None, EmbeddingSpace(x.numpy(), "whitened"))
    ]
    assert losses[1] < losses[0] - 1


def test_what_the_expert_finds_alike_is_no_negative():
    expert = torch.tensor([[1.0, 0], [0.999, 0.0447], [0, 1]])
    student = torch.randn(3, 2)
    keys = torch.arange(3)
    actual = ExpertContrast(InfoNCE(), 0, 2, None, 0.95)(student, expert, keys)
    unit, e = (torch.nn.functional.normalize(x, dim=1) for x in (student, expert))
    similarity = unit @ e.T / 0.1
    allowed = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
    logits = similarity.masked_fill(~allowed, -torch.inf)
    expected = (logits.logsumexp(dim=1) - similarity.diagonal()).mean()
    torch.testing.assert_close(actual, expected)


def test_rows_are_placed_where_the_loss_compares_them():
    expert = torch.randn(20, 6) * torch.tensor([9.0, 1, 1, 1, 1, 1]) + 5
    student, keys = torch.randn(20, 6), torch.arange(20)
    space = EmbeddingSpace(torch.nn.functional.normalize(expert).numpy(), "whitened")
    contrast = ExpertContrast(CosineLoss(), 0, 6, space)
    cosines = torch.cosine_similarity(contrast.to_space(student), contrast.to_space(expert))
    assert contrast(student, expert, keys).item() == pytest.approx(float((1 - cosines).mean()))
