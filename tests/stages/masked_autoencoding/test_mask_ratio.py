import math

import pytest
import torch

from medmask.errors import InputError
from medmask.stages.masked_autoencoding.mask_ratio import (
    ConstantMaskRatio,
    CosineMaskRatio,
    LossDrivenMaskRatio,
)


def test_constant_stays_whatever_the_loss():
    schedule = ConstantMaskRatio(0.8)
    schedule.set_run_length(4, 4)
    schedule.add_loss(torch.tensor(0.1))
    schedule.end_iteration(2)
    assert [schedule.ratio(progress) for progress in (0, 0.5, 1)] == [0.8] * 3


@pytest.mark.parametrize(("start", "end"), [(0.9, 0.3), (0.3, 0.9)])
def test_cosine_is_flat_at_both_ends_and_symmetric(start, end):
    ratio = CosineMaskRatio(start, end).ratio
    assert ratio(0) == pytest.approx(start)
    assert ratio(1) == pytest.approx(end)
    assert ratio(0.5) == pytest.approx((start + end) / 2)
    # cos(60 degrees) = 1/2, so a quarter of the way is done after a third of the run
    assert ratio(1 / 3) == pytest.approx(start + (end - start) / 4)
    assert ratio(0.2) - start == pytest.approx(end - ratio(0.8))


LONG = 10**9
"""Iterations of a run at whose beginning the step is at its full length."""


def driven(start, step, period=1):
    """A schedule that hears of the losses at the beginning of a long run."""
    schedule = LossDrivenMaskRatio(start, step, period)
    schedule.set_run_length(LONG, LONG)
    return schedule


def run(schedule, losses, first=1):
    """The ratios after each iteration."""
    ratios = []
    for iteration, loss in enumerate(losses, first):
        schedule.add_loss(torch.tensor(float(loss)))
        schedule.end_iteration(iteration)
        ratios.append(round(schedule.ratio(0.5), 6))
    return ratios


def test_ratio_rises_while_the_loss_falls_and_falls_otherwise():
    assert run(driven(0.5, 0.1), [9, 8, 7, 6]) == [0.5, 0.6, 0.7, 0.8]
    assert run(driven(0.5, 0.1), [6, 7, 8, 9]) == [0.5, 0.4, 0.3, 0.2]
    assert run(driven(0.5, 0.1), [6, 6]) == [0.5, 0.4]


def test_loss_is_compared_with_the_mean_of_the_three_epochs_before():
    # 7 < (6 + 6 + 10) / 3 although it is above the last two; the very first, 0, is forgotten
    assert run(driven(0.5, 0.1), [0, 10, 6, 6, 7])[-2:] == [0.2, 0.3]


def test_ratio_stays_in_bounds_and_leaves_them_at_once():
    assert run(driven(0.9, 0.1), [9, 8, 7, 9]) == [0.9, 0.95, 0.95, 0.85]
    assert run(driven(0.15, 0.1), [6, 7, 8, 1]) == [0.15, 0.1, 0.1, 0.2]


@pytest.mark.parametrize("progress", [0, 0.25, 0.5, 0.9, 1])
def test_step_shrinks_along_a_cosine(progress):
    schedule = LossDrivenMaskRatio(0.5, 0.2, period=1)
    schedule.set_run_length(100, 100)
    done = round(100 * progress)
    (_, ratio) = run(schedule, [2, 1], first=done - 1)
    assert ratio == pytest.approx(0.5 + 0.2 * math.cos(math.pi * progress / 2) ** 2, abs=1e-6)


def test_resumed_schedule_goes_on_as_if_nothing_had_happened():
    losses = [5, 4, 6, 3, 3, 7, 1, 2]
    whole, first, second = (driven(0.5, 0.1) for _ in range(3))
    expected = run(whole, losses)
    run(first, losses[:4])
    second.load_state_dict(first.state_dict())
    assert run(second, losses[4:]) == expected[4:]
    assert len(second.state_dict()["losses"]) == 3


def test_a_period_s_loss_is_its_mean_and_survives_a_resume():
    whole, first, second = (driven(0.5, 0.1, period=3) for _ in range(3))
    losses = [9, 9, 9, 1, 9, 9, 8, 9, 10]
    expected = run(whole, losses)
    assert expected == [0.5] * 5 + [0.6] * 3 + [0.5]
    run(first, losses[:4])
    second.load_state_dict(first.state_dict())
    assert run(second, losses[4:], first=5) == expected[4:]


@pytest.mark.parametrize(("period", "max_iter", "active"), [(5, 10, 10), (0.05, 100, 10)])
def test_ratio_that_could_never_change_is_refused(period, max_iter, active):
    schedule = LossDrivenMaskRatio(0.5, 0.1, period)
    with pytest.raises(InputError, match=r"mask_ratio\.period is 5 iterations.* 10 iterations"):
        schedule.set_run_length(max_iter, active)
    schedule.set_run_length(max_iter, active + 1)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ConstantMaskRatio(0), r"mask_ratio\.start is 0"),
        (lambda: ConstantMaskRatio(1.0), r"mask_ratio\.start"),
        (lambda: CosineMaskRatio(80, 0.5), r"mask_ratio\.start is 80"),
        (lambda: CosineMaskRatio(0.5, -1), r"mask_ratio\.end"),
        (lambda: LossDrivenMaskRatio(0.99, 0.1), r"mask_ratio\.start.*0\.95"),
        (lambda: LossDrivenMaskRatio(0.5, 0), r"mask_ratio\.step"),
    ],
)
def test_senseless_numbers_are_named(build, words):
    with pytest.raises(InputError, match=words):
        build()
