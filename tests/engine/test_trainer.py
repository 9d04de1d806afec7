import copy

import pytest
import torch
from torch import nn

from medmask.engine import MedMaskTrainer


class Stream:
    """Batches that are numbers: iteration i gives (i + 1) / 10."""

    def iterate_from(self, iteration):
        while True:
            iteration += 1
            yield torch.tensor([[iteration / 10]])


class Regression(nn.Module):
    """Two losses of a linear model on a number."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.factor = factor

    def forward(self, x):
        y = self.linear(x).float()
        return {"loss_a": self.factor * (y - 1).square().mean(), "loss_b": 0.1 * y.abs().mean()}


def make_trainer(model, clip=1e9, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return MedMaskTrainer(model, Stream(), optimizer, clip_gradient_norm=clip, **kwargs)


def test_a_step_is_gradient_descent_on_the_sum_of_losses():
    model = Regression()
    expected = copy.deepcopy(model)
    sum(expected(torch.tensor([[0.1]])).values()).backward()
    make_trainer(model).train(0, 1)
    for p, q in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q - 0.01 * q.grad)


def test_long_gradients_are_clipped_and_their_norm_is_logged():
    model = Regression(factor=100.0)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    trainer = make_trainer(model, clip=0.5)
    trainer.train(0, 1)
    moved = (nn.utils.parameters_to_vector(model.parameters()) - before).norm()
    torch.testing.assert_close(moved.item(), 0.01 * 0.5, rtol=1e-4, atol=0)
    assert trainer.storage.latest()["gradient_norm"][0] > 0.5


def test_training_starts_at_the_batch_of_the_iteration():
    whole, first, second = (Regression() for _ in range(3))
    first.load_state_dict(whole.state_dict())
    make_trainer(whole).train(0, 5)
    make_trainer(first).train(0, 2)
    second.load_state_dict(first.state_dict())
    make_trainer(second).train(2, 5)
    for p, q in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_stops_before_the_update(factor):
    model = Regression(factor)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(FloatingPointError, match=r"iteration 0.*lower optimizer\.lr"):
        make_trainer(model).train(0, 3)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_comes_near_full_precision(dtype):
    torch.manual_seed(0)
    model = Regression(factor=0.1)  # gradients that survive being scaled up in half precision
    half = copy.deepcopy(model)
    start = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    make_trainer(model).train(0, 4)
    trainer = make_trainer(half, amp_dtype=dtype)
    trainer.train(0, 4)
    assert trainer.grad_scaler.is_enabled() == (dtype is torch.float16)
    moved, moved_half = (
        nn.utils.parameters_to_vector(m.parameters()) - start for m in (model, half)
    )
    torch.testing.assert_close(moved, moved_half, rtol=0.02, atol=1e-5)


def test_scaler_state_is_in_the_checkpoint():
    trainer = make_trainer(Regression(factor=0.1), amp_dtype=torch.float16)
    trainer.train(0, 3)
    other = make_trainer(Regression(), amp_dtype=torch.float16)
    other.load_state_dict(trainer.state_dict())
    assert other.grad_scaler.state_dict() == trainer.grad_scaler.state_dict()
    assert other.grad_scaler.state_dict()["_growth_tracker"] == 3
