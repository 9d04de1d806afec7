import pytest

from medmask.errors import InputError
from medmask.utils.periods import to_iterations, to_iterations_or_end, to_iterations_within

ALL = (to_iterations, to_iterations_or_end, to_iterations_within)


@pytest.mark.parametrize("convert", ALL)
@pytest.mark.parametrize(
    ("period", "max_iter", "iterations"),
    [(1, 10, 1), (9, 10, 9), (0.5, 10, 5), (0.05, 5000, 250), (0.25, 2, 1), (0.001, 10, 1)],
)
def test_iterations_stay_and_shares_become_iterations(convert, period, max_iter, iterations):
    assert convert(period, max_iter, "key") == iterations


@pytest.mark.parametrize("convert", ALL)
@pytest.mark.parametrize("period", [-1, 1.0, 2.5, -0.5, True, "0.5", None, float("nan")])
def test_what_is_neither_is_refused(convert, period):
    with pytest.raises(InputError, match=rf"^train\.some_period is {period!r}, but must be"):
        convert(period, 10, "train.some_period")


def test_what_must_happen_before_the_end_is_refused_at_the_end():
    with pytest.raises(InputError, match=r"key is 10 iterations, but the run has 10 "):
        to_iterations_within(10, 10, "key")
    with pytest.raises(
        InputError, match=r"key is 1 iteration \(0\.5 of the run\), but the run has"
    ):
        to_iterations_within(0.5, 1, "key")


def test_what_happens_at_the_end_anyway_is_refused_beyond_it():
    assert to_iterations_or_end(10, 10, "key") == 10
    assert to_iterations_or_end(0, 10, "key") == 0
    with pytest.raises(InputError, match=r"key is 11 iterations, but the run has 10 "):
        to_iterations_or_end(11, 10, "key")
