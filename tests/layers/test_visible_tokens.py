"""Taking out the tokens that give values, and putting them back."""

import torch

from medmask.layers import MultiScaleDeformableAttention
from medmask.layers.visible_tokens import find_value_places, put_back, take


def test_tokens_come_back_to_their_places():
    mask = torch.tensor([[True, False, False, True, False], [True, True, False, True, True]])
    places = find_value_places(mask)
    assert places.shape == (2, 3)  # the first image has three tokens with values
    assert places[0].tolist() == [1, 2, 4]
    assert places[1, 0] == 2
    tokens = torch.randn(2, 5, 4)
    visible = ~mask[..., None]
    back = put_back(take(tokens * visible, places), places, 5)
    assert torch.equal(back, tokens * visible)


def test_several_dimensions_are_taken():
    places = find_value_places(torch.tensor([[True, False, True]]))
    points = torch.randn(1, 3, 2, 2)
    assert torch.equal(take(points, places), points[:, 1:2])


def test_without_any_value_one_token_stands_for_all():
    assert find_value_places(torch.ones(2, 4, dtype=torch.bool)).shape == (2, 1)


def test_attention_is_the_same_from_the_tokens_with_values_alone():
    attention = MultiScaleDeformableAttention(embed_dim=8, num_heads=2, num_levels=1, num_points=2)
    memory, query = torch.randn(2, 12, 8), torch.randn(2, 5, 8)
    mask = torch.rand(2, 12) < 0.6
    places = find_value_places(mask)
    references = torch.rand(2, 5, 1, 2)
    levels = (torch.tensor([[3, 4]]), torch.tensor([0]))
    expected = attention(query, references, memory, *levels, mask)
    actual = attention(query, references, take(memory, places), *levels, mask, places)
    torch.testing.assert_close(actual, expected)
