"""Gathering visible tokens, and scattering them back."""

import torch

from medmask.layers import MultiScaleDeformableAttention
from medmask.layers.visible_tokens import find_visible_tokens, gather_tokens, scatter_tokens


def test_tokens_are_scattered_back():
    mask = torch.tensor([[True, False, False, True, False], [True, True, False, True, True]])
    indices = find_visible_tokens(mask)
    assert indices.shape == (2, 3)  # the first image has three visible tokens
    assert indices[0].tolist() == [1, 2, 4]
    assert indices[1, 0] == 2
    tokens = torch.randn(2, 5, 4)
    visible = ~mask[..., None]
    back = scatter_tokens(gather_tokens(tokens * visible, indices), indices, 5)
    assert torch.equal(back, tokens * visible)


def test_several_dimensions_are_gathered():
    indices = find_visible_tokens(torch.tensor([[True, False, True]]))
    points = torch.randn(1, 3, 2, 2)
    assert torch.equal(gather_tokens(points, indices), points[:, 1:2])


def test_without_any_visible_token_one_stands_for_all():
    assert find_visible_tokens(torch.ones(2, 4, dtype=torch.bool)).shape == (2, 1)


def test_attention_is_the_same_from_the_visible_tokens_alone():
    attention = MultiScaleDeformableAttention(embed_dim=8, num_heads=2, num_levels=1, num_points=2)
    memory, query = torch.randn(2, 12, 8), torch.randn(2, 5, 8)
    mask = torch.rand(2, 12) < 0.6
    indices = find_visible_tokens(mask)
    references = torch.rand(2, 5, 1, 2)
    levels = (torch.tensor([[3, 4]]), torch.tensor([0]))
    expected = attention(query, references, memory, *levels, mask)
    actual = attention(query, references, gather_tokens(memory, indices), *levels, mask, indices)
    torch.testing.assert_close(actual, expected)
