import numpy as np
import pytest
import torch
from detectron2.engine import TrainerBase, hooks
from fvcore.common import param_scheduler

from medmask.errors import InputError
from medmask.solver.learning_rate import StepSchedule, bound_to_run


def test_rate_falls_at_the_milestones_and_nowhere_else():
    schedule = StepSchedule(values=[1.0, 0.5, 0.1], milestones=[0.4, 0.8])
    wheres = (0, 0.399999, 0.4, 0.79, 0.8, 0.999, 1.0)
    assert [schedule(where) for where in wheres] == [1, 1, 0.5, 0.5, 0.1, 0.1, 0.1]


class Trainer(TrainerBase):
    """Notes the learning rate of each step, and takes none."""

    def __init__(self, schedule, state=None):
        super().__init__()
        self.optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
        if state:
            self.optimizer.load_state_dict(state)
        self.register_hooks([hooks.LRScheduler(self.optimizer, schedule)])
        self.rates = []

    def run_step(self):
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()


@pytest.mark.parametrize("max_iter", [1, 7, 10, 1000])
def test_run_of_any_length_takes_four_fifths_at_the_full_rate(max_iter):
    trainer = Trainer(StepSchedule([1.0, 0.1], [0.8]))
    trainer.train(0, max_iter)
    expected = [2.0 if 10 * i < 8 * max_iter else 0.2 for i in range(max_iter)]
    assert trainer.rates == pytest.approx(expected)


@pytest.mark.parametrize(
    "schedule",
    [
        param_scheduler.ConstantParamScheduler(0.5),
        param_scheduler.StepParamScheduler(4, [0.5, 0.25]),
        param_scheduler.StepWithFixedGammaParamScheduler(0.5, 2, 0.1, 8),
        param_scheduler.LinearParamScheduler(0.5, 0.1),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_run_ends_well_whatever_fvcore_says_of_its_end(schedule):
    trainer = Trainer(bound_to_run(schedule, 8))
    trainer.train(0, 8)
    assert trainer.rates == pytest.approx([2 * schedule(i / 8) for i in range(8)])


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (lambda where: 1 / (0.5 - where), r"cannot be computed at iteration 4 of 8: float div"),
        (lambda where: 1 - 2 * where, r"is -0\.25 at iteration 5 of 8"),
        (lambda where: float("nan"), r"is nan at iteration 0"),
    ],
)
def test_schedule_that_would_fail_on_the_way_is_refused_at_the_start(schedule, words):
    with pytest.raises(InputError, match=rf"lr_multiplier {words}"):
        bound_to_run(schedule, 8)


@pytest.mark.parametrize(
    "schedule", [lambda where: np.cos(where), lambda where: torch.tensor(1 - where)]
)
def test_rates_are_plain_numbers_whatever_a_schedule_computes_with(schedule):
    """A checkpoint with numpy's numbers is one that cannot be loaded."""
    trainer = Trainer(bound_to_run(schedule, 8))
    trainer.train(0, 8)
    assert {type(rate) for rate in trainer.rates} == {float}


@pytest.mark.parametrize("stop", [3, 8, 9])
def test_resumed_run_goes_on_at_its_rate(stop):
    whole, first = (Trainer(StepSchedule([1.0, 0.1], [0.8])) for _ in range(2))
    whole.train(0, 10)
    first.max_iter = 10
    first.run_step = lambda: (
        Trainer.run_step(first) if first.iter < stop else (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        first.train(0, 10)
    second = Trainer(StepSchedule([1.0, 0.1], [0.8]), first.optimizer.state_dict())
    second.train(stop, 10)
    assert first.rates + second.rates == whole.rates


@pytest.mark.parametrize(
    ("values", "milestones", "words"),
    [
        ([1.0, 0.1], [0.8, 1.0], "values has 2 numbers"),
        ([1.0, 0.1], [8], r"milestones is \[8\]"),
        ([1.0, 0.1, 0.01], [0.8, 0.4], r"milestones is \[0\.8, 0\.4\]"),
        ([1.0, 0.1], [0], r"milestones is \[0\]"),
        ([1.0, -0.1], [0.5], r"values is \[1\.0, -0\.1\]"),
    ],
)
def test_senseless_numbers_are_refused(values, milestones, words):
    with pytest.raises(InputError, match=rf"lr_multiplier\.{words}"):
        StepSchedule(values, milestones)
