import math
import statistics

import numpy as np
import pytest
from scipy import stats

from medmask.errors import InputError
from medmask.evaluation.paired_differences import PairedDifference, paired_difference

NAN = math.nan


@pytest.mark.parametrize("seed", range(30))
def test_agrees_with_scipys_paired_t_test(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 20))
    values, controls = random.normal(60, 8, (2, n))
    found = paired_difference(values, controls)
    expected = stats.ttest_rel(values, controls)
    assert found.t == pytest.approx(expected.statistic, rel=1e-9)
    assert found.num_pairs - 1 == expected.df
    assert found.mean == pytest.approx(values.mean() - controls.mean(), rel=1e-9)
    assert found.standard_error == pytest.approx(stats.sem(values - controls), rel=1e-9)


def test_counted_by_hand():
    # Differences 1, 3, 5: mean 3, deviation 2, standard error 2 / sqrt(3).
    found = paired_difference([11, 13, 15], [10, 10, 10])
    assert (found.mean, found.num_pairs) == (3, 3)
    assert found.standard_error == pytest.approx(2 / math.sqrt(3))
    assert found.t == pytest.approx(3 * math.sqrt(3) / 2)


def test_what_pairs_share_does_not_count():
    """Seeds that are far apart, and a method that is one point better in each."""
    controls = [40.0, 70.0, 55.0, 48.0]
    values = [41.1, 70.9, 56.0, 49.0]
    found = paired_difference(values, controls)
    assert found.verdict(4) == "better"
    assert statistics.stdev(controls) > 10 * found.standard_error


def test_pairs_with_an_undefined_value_are_left_out():
    found = paired_difference([1, NAN, 4, 9], [0, 1, NAN, 6])
    assert found == paired_difference([1, 9], [0, 6])
    assert found.num_pairs == 2


@pytest.mark.parametrize(
    ("values", "controls", "mean", "n"),
    [([], [], NAN, 0), ([3.0], [1.0], 2.0, 1), ([NAN, 3.0], [1.0, 1.0], 2.0, 1)],
    ids=["none", "one", "one-defined"],
)
def test_fewer_than_two_pairs_have_no_error(values, controls, mean, n):
    found = paired_difference(values, controls)
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert math.isnan(found.standard_error)
    assert math.isnan(found.t)
    assert found.num_pairs == n
    assert found.verdict(2) == "not shown"


@pytest.mark.parametrize(
    ("shift", "t", "verdict"), [(0.1, math.inf, "better"), (-0.1, -math.inf, "worse")]
)
def test_equal_differences_have_no_error(shift, t, verdict):
    values = [2 + shift] * 8
    found = paired_difference(values, [2.0] * 8)
    assert found.standard_error == 0
    assert found.t == t
    assert found.verdict() == verdict


def test_differences_that_only_rounding_tells_apart_are_equal():
    values = [100 * (5 / 7 + i / 14) / 3 for i in range(8)]
    controls = [100 * (4 / 7 + i / 14) / 3 for i in range(8)]
    assert len({a - b for a, b in zip(values, controls, strict=True)}) > 1
    found = paired_difference(values, controls)
    assert (found.standard_error, found.t) == (0, math.inf)


def test_difference_of_rounding_is_no_difference():
    values = [0.1 + 0.2] * 8
    assert values[0] > 0.3
    found = paired_difference(values, [0.3] * 8)
    assert (found.mean, found.verdict()) == (0, "not shown")


def test_no_difference_at_all_shows_nothing():
    found = paired_difference([5.0] * 9, [5.0] * 9)
    assert (found.mean, found.standard_error) == (0, 0)
    assert math.isnan(found.t)
    assert found.verdict() == "not shown"


@pytest.mark.parametrize(
    ("t", "n", "verdict"),
    [
        (2.01, 8, "better"),
        (-2.01, 8, "worse"),
        (2.0, 8, "not shown"),
        (-1.9, 100, "not shown"),
        (9.0, 7, "not shown"),
    ],
)
def test_claim_needs_two_standard_errors_and_eight_pairs(t, n, verdict):
    assert PairedDifference(t, 1.0, t, (t,) * n).verdict() == verdict


def test_fewer_pairs_can_be_asked_for():
    found = PairedDifference(3.0, 1.0, 3.0, (2.0, 2.0, 5.0))
    assert found.verdict(3) == "better"
    assert found.verdict(4) == "not shown"
    with pytest.raises(InputError, match="no claim rests on 1"):
        found.verdict(1)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="longer"):
        paired_difference([1.0], [1.0, 2.0, 3.0])
