"""Sampling by gathers against the operator, which has tests of its own against a definition."""

import pytest
import torch

from medmask.export.deformable_attention import sample_by_gathers, with_gathering_attention
from medmask.layers import MultiScaleDeformableAttention, ms_deform_attn_fused

SHAPES = [(7, 5), (3, 4), (1, 1)]


def make_arguments(reference_size, dtype=torch.float64, spread=3.0):
    generator = torch.Generator().manual_seed(reference_size)
    shapes = torch.tensor(SHAPES)
    areas = shapes.prod(1)
    N, Q, M, D, L, P = 2, 6, 3, 4, len(shapes), 2

    def draw(*size):
        return torch.randn(*size, generator=generator, dtype=dtype)

    return (
        draw(N, int(areas.sum()), M, D),
        shapes,
        areas.cumsum(0) - areas,
        draw(N, Q, L, reference_size).sigmoid(),
        draw(N, Q, M, L, P, 2) * spread,
        draw(N, Q, M, L, P),
    )


@pytest.mark.parametrize("reference_size", [2, 4])
@pytest.mark.parametrize("spread", [0.0, 3.0, 1e9])
def test_samples_are_those_of_the_operator(reference_size, spread):
    arguments = make_arguments(reference_size, spread=spread)
    expected = ms_deform_attn_fused(*arguments)
    torch.testing.assert_close(sample_by_gathers(*arguments), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_locations_that_are_not_finite_sample_nothing(value):
    arguments = make_arguments(2)
    arguments[4][0, 1] = value
    arguments[4][1, 2, 0, 0, 0, 1] = value
    expected = ms_deform_attn_fused(*arguments)
    result = sample_by_gathers(*arguments)
    torch.testing.assert_close(result, expected)
    assert not result[0, 1].any()
    assert result[0, 0].all()


def test_copy_of_a_model_gives_the_same_by_gathers_and_leaves_the_model_alone():
    torch.manual_seed(0)
    attention = MultiScaleDeformableAttention(32, 4, len(SHAPES), 2)
    for parameter in attention.parameters():
        parameter.data.normal_(std=0.5)
    model = torch.nn.ModuleDict({"a": attention})
    copied = with_gathering_attention(model)
    assert copied["a"].sample is sample_by_gathers
    assert model["a"].sample is ms_deform_attn_fused
    _, shapes, starts, references, _, _ = make_arguments(2, torch.float32)
    memory, query = torch.randn(2, 48, 32), torch.randn(2, 6, 32)
    mask = torch.rand(2, 48) < 0.3
    arguments = (query, references, memory, shapes, starts, mask)
    expected = attention(*arguments)
    model["a"].value_proj.weight.data.zero_()
    torch.testing.assert_close(copied["a"](*arguments), expected)
