"""Two processes that train together stay together."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import distributed

from medmask.engine import launch
from medmask.stages.masked_autoencoding import LossDrivenMaskRatio

sys.path.insert(0, str(Path(__file__).parents[1]))
from masked_training import history, make_model, make_trainer


def train_in_two_processes(args):
    """Different masks, one set of weights and one ratio; with and after masked autoencoding."""
    state_amid_a_period_is_that_of_all()
    model = make_model()
    trainer, hook = make_trainer(
        model,
        mask_ratio=LossDrivenMaskRatio(0.5, 0.2, period=1),
        duration=3,
        warmup=1,
        gradient_share=0.3,
    )
    torch.manual_seed(distributed.get_rank())
    trainer.train(0, 6)
    mine = [hook.mask_ratio.state_dict(), *(p.double().sum().item() for p in model.parameters())]
    everybody = [None, None]
    distributed.all_gather_object(everybody, mine)
    assert everybody[0] == everybody[1]
    states = [None, None]
    distributed.all_gather_object(states, hook.target_maps.statistics.state_dict())
    assert states[0] == states[1]
    distributed.all_gather_object(states, hook.weighting.state_dict())
    assert states[0] == states[1]
    assert hook.weighting.weight not in (0.0, 1.0)
    assert hook.mask_ratio.ratio(1) != 0.5


def state_amid_a_period_is_that_of_all():
    """A checkpoint has the state of one process, and all are resumed from it."""
    trainer, hook = make_trainer(make_model(), mask_ratio=LossDrivenMaskRatio(0.5, 0.2, period=3))
    torch.manual_seed(distributed.get_rank())
    trainer.train(0, 8)
    state = hook.mask_ratio.state_dict()
    states = [None, None]
    distributed.all_gather_object(states, state)
    assert states[0] == states[1]
    if distributed.get_rank() == 0:  # which logs the means of both
        losses = history(trainer, "loss_mae")
        assert state["loss_sum"] == pytest.approx(sum(losses[6:]), rel=1e-5)
        means = [sum(losses[i : i + 3]) / 3 for i in (0, 3)]
        assert state["losses"] == pytest.approx(means, rel=1e-5)


if __name__ == "__main__":
    launch(train_in_two_processes, Namespace())
