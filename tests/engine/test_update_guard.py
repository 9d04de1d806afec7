"""Gradients that are not finite while the loss is."""

import math

import pytest
import torch
from torch import nn
from toy_detector import ToyDetector

from medmask.engine import MedMaskTrainer
from medmask.engine.update_guard import MAX_SKIPPED_IN_A_ROW
from medmask.errors import InputError


class SquareRoot(ToyDetector):
    """Its loss is finite at 0, and its gradient is not."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm1d(1)

    def losses(self, x):
        self.norm(x)
        return {"loss": (self.weight.float() * x).abs().sqrt().mean()}


class Numbers:
    """1 in each batch, but for those that are 0."""

    def __init__(self, zeros):
        self.zeros = zeros

    def iterate_from(self, iteration):
        while True:
            yield torch.full((2, 1), 0.0 if iteration in self.zeros else 1.0)
            iteration += 1


def make_trainer(zeros, **options):
    model = SquareRoot()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return MedMaskTrainer(model, Numbers(zeros), optimizer, clip_gradient_norm=1.0, **options)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_update_is_left_out_and_counted(accumulation, caplog):
    trainer = make_trainer({2}, gradient_accumulation=accumulation)
    bad = 2 // accumulation
    trainer.train(0, bad)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.train(bad, bad + 1)
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())
    assert trainer.storage.latest()["skipped_updates"][0] == 1
    assert "gradient_norm" not in trainer.storage.latest()
    assert f"not finite at iteration {bad}: the update is left out" in caplog.text
    trainer.train(bad + 1, bad + 3)
    assert not torch.equal(trainer.model.weight, before["weight"])
    assert trainer.state_dict()["update_guard"] == {"num_skipped": 1, "num_in_a_row": 0}


def test_repetition_ends_the_run():
    trainer = make_trainer(set(range(3, 100)))
    with pytest.raises(InputError, match=r"not finite at iteration 13, nor .* lower optimizer\.lr"):
        trainer.train(0, 100)
    assert trainer.iter == 3 + MAX_SKIPPED_IN_A_ROW
    assert trainer.model.weight.isfinite().all()


def test_count_survives_a_resume():
    first = make_trainer(set(range(100)))
    first.train(0, 6)
    second = make_trainer(set(range(100)))
    second.load_state_dict(first.state_dict())
    with pytest.raises(InputError, match="iteration 10"):
        second.train(6, 100)


def test_half_precision_first_lowers_its_scale():
    """Its gradients may overflow more often than the limit, until the scale is 1."""
    trainer = make_trainer(set(range(100)), amp_dtype=torch.float16)
    halvings = int(math.log2(trainer.grad_scaler.get_scale()))
    assert halvings > MAX_SKIPPED_IN_A_ROW
    trainer.train(0, halvings)
    assert trainer.grad_scaler.get_scale() == 1
    with pytest.raises(InputError, match=f"iteration {halvings + MAX_SKIPPED_IN_A_ROW}"):
        trainer.train(halvings, 100)
