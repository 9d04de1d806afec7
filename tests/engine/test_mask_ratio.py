import math

import pytest

from medmask.engine.mask_ratio import ConstantMaskRatio, CosineMaskRatio, LossDrivenMaskRatio
from medmask.errors import InputError


def test_constant_stays_whatever_the_loss():
    schedule = ConstantMaskRatio(0.8)
    schedule.end_epoch(0.1, 0.5)
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


def run(schedule, losses, progress=0.0):
    """The ratios after each epoch; progress 0 keeps the step at its full length."""
    ratios = []
    for loss in losses:
        schedule.end_epoch(loss, progress)
        ratios.append(round(schedule.ratio(progress), 6))
    return ratios


def test_ratio_rises_while_the_loss_falls_and_falls_otherwise():
    assert run(LossDrivenMaskRatio(0.5, 0.1), [9, 8, 7, 6]) == [0.5, 0.6, 0.7, 0.8]
    assert run(LossDrivenMaskRatio(0.5, 0.1), [6, 7, 8, 9]) == [0.5, 0.4, 0.3, 0.2]
    assert run(LossDrivenMaskRatio(0.5, 0.1), [6, 6]) == [0.5, 0.4]


def test_loss_is_compared_with_the_mean_of_the_three_epochs_before():
    # 7 < (6 + 6 + 10) / 3 although it is above the last two; the very first, 0, is forgotten
    assert run(LossDrivenMaskRatio(0.5, 0.1), [0, 10, 6, 6, 7])[-2:] == [0.2, 0.3]


def test_ratio_stays_in_bounds_and_leaves_them_at_once():
    assert run(LossDrivenMaskRatio(0.9, 0.1), [9, 8, 7, 9]) == [0.9, 0.95, 0.95, 0.85]
    assert run(LossDrivenMaskRatio(0.15, 0.1), [6, 7, 8, 1]) == [0.15, 0.1, 0.1, 0.2]


@pytest.mark.parametrize("progress", [0, 0.25, 0.5, 0.9, 1])
def test_step_shrinks_along_a_cosine(progress):
    (_, ratio) = run(LossDrivenMaskRatio(0.5, 0.2), [2, 1], progress)
    assert ratio == pytest.approx(0.5 + 0.2 * math.cos(math.pi * progress / 2) ** 2, abs=1e-6)


def test_resumed_schedule_goes_on_as_if_nothing_had_happened():
    losses = [5, 4, 6, 3, 3, 7, 1, 2]
    whole, first, second = (LossDrivenMaskRatio(0.5, 0.1) for _ in range(3))
    expected = run(whole, losses)
    run(first, losses[:4])
    second.load_state_dict(first.state_dict())
    assert run(second, losses[4:]) == expected[4:]
    assert len(second.state_dict()["losses"]) == 3


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
