import itertools

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from medmask.calibration.isotonic import fit_isotonic, pool_adjacent_violators


def best_by_trying_all_divisions(values, weights):
    """The least squares among all divisions into runs whose means do not fall."""
    n, best, result = len(values), np.inf, None
    for cuts in itertools.product((False, True), repeat=n - 1):
        runs = np.concatenate([[0], np.cumsum(cuts)]).astype(int)
        means = np.bincount(runs, values * weights) / np.bincount(runs, weights)
        fitted = means[runs]
        loss = (weights * (fitted - values) ** 2).sum()
        if (np.diff(means) >= 0).all() and loss < best - 1e-12:
            best, result = loss, fitted
    return result


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_best_of_all_divisions(seed):
    random = np.random.default_rng(seed)
    values = random.integers(0, 4, random.integers(1, 10)) / 3
    weights = random.integers(1, 5, len(values)).astype(float)
    np.testing.assert_allclose(
        pool_adjacent_violators(values, weights),
        best_by_trying_all_divisions(values, weights),
        atol=1e-12,
    )


def test_equals_scipy():
    random = np.random.default_rng(0)
    values, weights = random.random(500), random.uniform(0.1, 3, 500)
    expected = isotonic_regression(values, weights=weights).x
    np.testing.assert_allclose(pool_adjacent_violators(values, weights), expected, atol=1e-12)


def test_ties_share_a_probability():
    calibrator = fit_isotonic(np.array([0.5, 0.2, 0.5, 0.2]), np.array([1, 0, 0, 0], bool))
    np.testing.assert_allclose(calibrator(np.array([0.2, 0.35, 0.5])), [0, 0.25, 0.5])


def test_never_falls_and_keeps_its_ends_outside():
    random = np.random.default_rng(1)
    scores, labels = random.random(300), random.random(300) < 0.3
    calibrator = fit_isotonic(scores, labels)
    probabilities = calibrator(np.linspace(0, 1, 1001))
    assert (np.diff(probabilities) >= 0).all()
    assert calibrator(np.array([0.0]))[0] == calibrator.probabilities[0]
    order = np.argsort(scores)
    expected = isotonic_regression(labels[order].astype(float)).x
    np.testing.assert_allclose(calibrator(scores[order]), expected, atol=1e-12)


def test_one_sample():
    assert fit_isotonic(np.array([0.3]), np.array([True]))(np.array([0.0, 0.9])).tolist() == [1, 1]
