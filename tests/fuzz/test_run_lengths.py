"""Periods and durations of every kind, in runs of every length: refused by name, or they act."""

import math
from fractions import Fraction
from types import SimpleNamespace

import torch
from campaign import REFUSED, RIGHT, run_campaign, seeds
from mutations import ODD_VALUES
from torch import nn

from medmask.errors import InputError
from medmask.stages.masked_autoencoding import LossDrivenMaskRatio, MaskedAutoencoderHook
from medmask.stages.masked_autoencoding.reconstruction import ReconstructionStep
from medmask.stages.mean_teacher import DynamicThreshold, SelectiveRetrainingHook
from medmask.utils.periods import to_iterations_or_end

ODD = [*ODD_VALUES, 0, -3, 1.0, 2.5, -0.2, "0.5", "3", True, 1e9, float("-inf")]


def choose_period(random_state, max_iter):
    """Iterations, a share of the run, or something odd."""
    kind = random_state.random()
    if kind < 0.45:
        return random_state.randint(1, max(1, max_iter // 2 + 2))
    if kind < 0.85:
        return random_state.choice([0.01, 0.05, 0.25, 0.33, 0.5, round(random_state.random(), 3)])
    return random_state.choice(ODD)


def iterations_of(period, max_iter):
    """Interpret a period; None if it means nothing."""
    if type(period) is int and period > 0:
        return period
    if type(period) is float and 0 < period < 1:
        return round(period * max_iter) or 1
    return None


RECONSTRUCTION = ReconstructionStep(
    image_sizes=[(1, 1)],
    padded_size=(1, 1),
    targets={"res5": torch.zeros(1, 1, 1, 1)},
    reconstructions={"res5": torch.ones(1, 1, 1, 1)},
    masked={"res5": torch.ones(1, 1, 1, dtype=torch.bool)},
    padding={"res5": torch.zeros(1, 1, 1, dtype=torch.bool)},
)


class Simulation:
    """A run without a model: which hook acts after how many iterations."""

    def __init__(self, max_iter, retraining, duration, pictures, threshold, mask_ratio):
        self.resets, self.drawn, self.masked, self.ratios, self.values = [], [], [], [], []
        self.threshold = DynamicThreshold(initial=0.4, update_period=threshold)
        self.threshold.build(1)
        self.schedule = LossDrivenMaskRatio(0.5, 0.1, mask_ratio)
        self.retraining = SelectiveRetrainingHook(period=retraining)
        self.retraining._set_back = lambda detector: self.resets.append(self.trainer.iter)
        loader = SimpleNamespace(iterate_from=lambda iteration: iter([[]] * max_iter))
        self.masking = MaskedAutoencoderHook(
            loader,
            mask_ratio=self.schedule,
            targets={"res5": (8, 6)},
            duration=duration,
            picture_period=pictures,
        )
        self.masking.module = None
        self.masking._draw = lambda: self.drawn.append(self.trainer.iter + 1)
        self.trainer = SimpleNamespace(
            iter=0,
            start_iter=0,
            max_iter=max_iter,
            gradient_accumulation=1,
            detector=nn.Linear(1, 1),
            loss_hooks=[self.masking],
            model=lambda batch, step: RECONSTRUCTION,
            storage=SimpleNamespace(put_scalar=lambda *args, **options: None),
        )

    def run(self):
        hooks = (self.retraining, self.masking)
        for hook in hooks:
            hook.trainer = self.trainer
            hook.set_run_length(self.trainer.max_iter)
        self.threshold.set_run_length(self.trainer.max_iter)
        for hook in hooks:
            hook.before_train()
        for iteration in range(self.trainer.max_iter):
            self.trainer.iter = iteration
            for hook in hooks:
                hook.load(iteration)
            for hook in hooks:
                hook.before_step()
            self.values.append(self.threshold.at(0).item())
            self.ratios.append(self.masking._current_ratio)
            self.masked.append(bool(self.masking.step_losses()))
            self.threshold.observe(torch.tensor([0.0]), torch.tensor([0.0]))
            for hook in hooks:
                hook.after_step()


def try_case(random_state):
    max_iter = random_state.choice([1, 2, 3, 7, 40, random_state.randint(1, 300)])
    periods = dict(retraining=0.5, duration=0.5, pictures=0.1, threshold=0.05, mask_ratio=0.05)
    for name in random_state.sample(sorted(periods), random_state.randint(0, 3)):
        periods[name] = choose_period(random_state, max_iter)
    if random_state.random() < 0.2:
        periods["duration"] = None
    if random_state.random() < 0.2:
        periods["pictures"] = random_state.choice([0, None])
    meant = {name: iterations_of(period, max_iter) for name, period in periods.items()}
    active = max_iter if periods["duration"] is None else meant["duration"]
    is_possible = {
        "selective_retraining.period": (meant["retraining"] or max_iter) < max_iter,
        "masked_autoencoder.duration": active is not None
        and (periods["duration"] is None or active < max_iter),
        "masked_autoencoder.picture_period": periods["pictures"] is None
        or (periods["pictures"] == 0 and type(periods["pictures"]) in (int, float))
        or (meant["pictures"] is not None and meant["pictures"] <= max_iter),
        "update_period": (meant["threshold"] or max_iter) < max_iter,
        "mask_ratio.period": meant["mask_ratio"] is not None
        and 2 * meant["mask_ratio"] < (active or 0),
    }
    case = f"{periods} in {max_iter} iterations"
    refusal = ""
    try:
        simulation = Simulation(max_iter, **periods)
        simulation.run()
    except InputError as error:
        refusal = str(error)
    if refusal:
        named = [key for key in is_possible if key in refusal]
        assert named, f"{case}: {refusal}"
        assert not all(is_possible[key] for key in named), f"{case}: {refusal}"
        assert "\n" not in refusal, case
        return REFUSED
    assert all(is_possible.values()), f"{case}: accepted, but {is_possible}"
    between = meant["retraining"]
    if type(periods["retraining"]) is float:  # of a share, what is begun counts as an iteration
        share = Fraction(str(periods["retraining"]))
        between = min(math.ceil(share * max_iter), max_iter - 1)
    multiples = range(between, max_iter, between)
    assert simulation.resets == list(multiples) != [], case
    assert simulation.masked == [i < active for i in range(max_iter)], case
    if periods["pictures"] is not None:
        assert simulation.drawn, case
        assert simulation.drawn[-1] == active, case
    assert simulation.values[meant["threshold"] - 1] > simulation.values[meant["threshold"]], case
    assert len(set(simulation.ratios)) > 1, case
    return RIGHT


@seeds
def test_what_a_config_asks_for_happens_or_is_refused(seeds):
    verdicts = run_campaign(seeds, try_case)
    assert verdicts.keys() == {REFUSED, RIGHT}  # the cases are of both kinds


def try_evaluation_period(random_state):
    max_iter = random_state.choice([1, 2, 5, random_state.randint(1, 10_000)])
    period = choose_period(random_state, max_iter)
    meant = iterations_of(period, max_iter)
    if period == 0 and type(period) in (int, float):
        meant = 0
    refusal = ""
    try:
        iterations = to_iterations_or_end(period, max_iter, "train.eval_period")
    except InputError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith("train.eval_period is "), refusal
        assert meant is None or meant > max_iter, f"{period} in {max_iter}: {refusal}"
        return REFUSED
    assert iterations == meant, f"{period} in {max_iter}"
    if 0 < period < 1:
        assert iterations == 1 or abs(iterations - period * max_iter) <= 0.5
    return RIGHT


@seeds
def test_evaluations_come_when_they_should_or_are_refused(seeds):
    verdicts = run_campaign(seeds, try_evaluation_period)
    assert verdicts.keys() == {REFUSED, RIGHT}
