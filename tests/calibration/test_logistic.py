import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from medmask.calibration.logistic import fit_logistic


def loss(parameters, scores, labels):
    """Cross-entropy of Platt's targets, as his paper writes it."""
    positives, negatives = labels.sum(), (~labels).sum()
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    p = expit(parameters[0] * logit(scores) + parameters[1])
    return -(targets * np.log(p) + (1 - targets) * np.log1p(-p)).sum()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_is_the_minimum_that_scipy_finds(seed, share):
    random = np.random.default_rng(seed)
    scores = random.uniform(0.01, 0.9, 400)
    labels = random.random(400) < share * 2 * scores
    fitted = fit_logistic(scores, labels)
    found = minimize(
        loss, [1.0, 0.0], args=(scores, labels), method="L-BFGS-B", bounds=[(0, None), (None, None)]
    )
    assert loss((fitted.slope, fitted.intercept), scores, labels) <= found.fun + 1e-9
    assert fitted.slope == pytest.approx(found.x[0], abs=2e-3)
    assert fitted.intercept == pytest.approx(found.x[1], abs=5e-3)


def test_finds_the_true_course():
    random = np.random.default_rng(0)
    scores = random.uniform(0.01, 0.9, 100_000)
    labels = random.random(len(scores)) < expit(1.7 * logit(scores) - 0.8)
    fitted = fit_logistic(scores, labels)
    assert (fitted.slope, fitted.intercept) == pytest.approx((1.7, -0.8), abs=0.05)


def test_order_is_never_turned_around():
    scores = np.linspace(0.1, 0.9, 50)
    fitted = fit_logistic(scores, scores < 0.5)
    assert fitted.slope == 0
    np.testing.assert_allclose(fitted(scores), 0.5, atol=0.02)


@pytest.mark.parametrize("label", [False, True])
def test_labels_of_one_kind_stay_short_of_certain(label):
    scores = np.linspace(0.1, 0.9, 18)
    fitted = fit_logistic(scores, np.full(18, label))
    np.testing.assert_allclose(fitted(scores), 19 / 20 if label else 1 / 20)


def test_separated_scores_stay_finite():
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    probabilities = fit_logistic(scores, scores > 0.5)(scores)
    assert (np.diff(probabilities) > 0).all()
    assert 0 < probabilities[0] < 0.3 < 0.7 < probabilities[-1] < 1


def test_scores_of_0_and_1_and_ties():
    fitted = fit_logistic(np.array([0.0, 0.0, 1.0, 1.0]), np.array([False, False, True, True]))
    probabilities = fitted(np.array([0, 0.5, 1]))
    assert np.isfinite(probabilities).all()
    assert probabilities[0] < probabilities[1] < probabilities[2]
    tied = fit_logistic(np.full(4, 0.3), np.array([True, False, False, False]))
    assert (tied.slope, tied(np.array([0.3]))[0]) == (0, pytest.approx((2 / 3 + 3 / 5) / 4))
