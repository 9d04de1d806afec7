import math

import pytest
import torch
from torch.testing import assert_close

from medmask.layers import MLP, FeedForward, inverse_sigmoid


@pytest.mark.parametrize("p", [0.001, 0.3, 0.5, 0.999])
def test_inverse_sigmoid_is_the_logit(p):
    expected = torch.tensor(math.log(p / (1 - p)))
    assert_close(inverse_sigmoid(torch.tensor(p)), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "inside"), [(-3.0, 1e-5), (0.0, 1e-5), (1.0, 1 - 1e-5), (7.0, 1 - 1e-5)]
)
def test_inverse_sigmoid_of_an_end_is_that_of_a_point_just_inside(x, inside):
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    result = inverse_sigmoid(x)
    result.backward()
    assert_close(result.item(), math.log(inside / (1 - inside)), rtol=1e-5, atol=0)
    assert x.grad.isfinite()


def test_mlp_has_a_relu_between_layers_and_none_at_the_end():
    mlp = MLP(3, 5, 2, num_layers=3).double()
    torch.nn.init.constant_(mlp.layers[-1].bias, -0.3)  # outputs of both signs
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    (a, b), (c, d), (e, f) = ((layer.weight, layer.bias) for layer in mlp.layers)
    expected = torch.relu(torch.relu(x @ a.T + b) @ c.T + d) @ e.T + f
    assert (expected < 0).any()
    assert_close(mlp(x), expected)


def test_feed_forward_normalizes_the_sum_of_input_and_update():
    block = FeedForward(embed_dim=6, hidden_dim=11, dropout=0.5).double().eval()
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    y = x + block.linear2(torch.relu(block.linear1(x)))
    expected = (y - y.mean(-1, keepdim=True)) / (
        y.var(-1, keepdim=True, correction=0) + 1e-5
    ).sqrt()
    assert_close(block(x), expected)
    block.train()
    assert not torch.allclose(block(x), block(x))
