import pytest
import torch
from torch.testing import assert_close

from medmask.layers import Dropout, ReLUDropout

MODULES = pytest.mark.parametrize("module", [Dropout, ReLUDropout])


@MODULES
@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 1 - 1e-6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_share_of_p_is_dropped_and_the_mean_stays(module, p, dtype):
    x = torch.ones(1001, 1003, dtype=dtype)
    y = module(p)(x)
    kept = y != 0
    share = 1 - kept.double().mean()
    assert share == pytest.approx(round(p * 2**16) / 2**16, abs=2e-3) or p > 0.9999
    if kept.any():
        assert y[kept].double().unique().numel() == 1
        assert_close(y.double().mean().item(), 1.0, rtol=0.5 if p > 0.99 else 5e-3, atol=0)


@MODULES
def test_fates_are_independent_of_each_other(module):
    dropped = (module(0.5)(torch.ones(4, 100_000)) == 0).double()
    assert torch.corrcoef(dropped).triu(1).abs().max() < 0.02
    neighbors = torch.stack([dropped.flatten()[i::4] for i in range(4)])
    assert torch.corrcoef(neighbors).triu(1).abs().max() < 0.02


@MODULES
def test_gradient_is_that_of_what_was_kept(module):
    x = torch.randn(50, 33, dtype=torch.float64)
    inputs = x.clone().requires_grad_()
    y = module(0.3)(inputs)
    y.backward(grad := torch.randn_like(x))
    factor = torch.where(y == 0, 0.0, y.detach() / x)
    assert_close(inputs.grad, grad * factor)
    assert (factor == 0).any()
    assert (factor > 1).any()


@MODULES
def test_one_state_of_the_generator_gives_one_mask(module):
    x, dropout = torch.rand(7, 5), module(0.5)
    state = torch.get_rng_state()
    first = dropout(x)
    assert not torch.equal(first, dropout(x))
    torch.set_rng_state(state)
    assert torch.equal(first, dropout(x))


@MODULES
def test_nothing_is_dropped_in_evaluation_or_at_zero(module):
    x = torch.randn(7, 5)
    expected = x.relu() if module is ReLUDropout else x
    assert torch.equal(module(0.5).eval()(x), expected)
    assert torch.equal(module(0.0)(x), expected)


def test_everything_is_dropped_at_one():
    assert not Dropout(1.0)(torch.ones(5)).any()
