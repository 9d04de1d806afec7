import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from medmask.evaluation.classification import (
    ScoredUnits,
    best_f1,
    metrics_at,
    roc_auc,
    score_breasts,
    score_images,
)


def random_units(seed: int) -> ScoredUnits:
    """Units whose scores tie often; both labels are there."""
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 40))
    labels = random.permutation(np.arange(count) < random.integers(1, count))
    return ScoredUnits(random.integers(0, 8, count) / 7, labels, np.arange(count))


@pytest.mark.parametrize("seed", range(20))
def test_auc_equals_the_mann_whitney_statistic(seed):
    units = random_units(seed)
    positive, negative = units.scores[units.labels], units.scores[~units.labels]
    expected = mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))
    assert roc_auc(units, np.ones((1, len(units.scores))))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_weighted_auc_equals_that_of_repeated_units(seed):
    units = random_units(seed)
    weights = np.random.default_rng(seed).integers(0, 4, (5, len(units.scores)))
    for row, auc in zip(weights, roc_auc(units, weights), strict=True):
        scores, labels = np.repeat(units.scores, row), np.repeat(units.labels, row)
        difference = scores[labels][:, None] - scores[~labels][None, :]
        if difference.size == 0:
            assert np.isnan(auc)
        else:
            assert auc == pytest.approx(((np.sign(difference) + 1) / 2).mean(), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_best_f1_is_the_best_of_all_thresholds(seed):
    units = random_units(seed)

    def counts(threshold):
        called = units.scores >= threshold
        hits = sum(called & units.labels)
        return hits, sum(called & ~units.labels), sum(units.labels) - hits

    f1 = {}
    for threshold in sorted(set(units.scores)):
        tp, fp, fn = counts(threshold)
        f1[threshold] = 2 * tp / (2 * tp + fp + fn)
    best = best_f1(units)
    assert best.f1 == pytest.approx(max(f1.values()))
    assert best.score == max(t for t, value in f1.items() if value == max(f1.values()))
    tp, fp, fn = counts(best.score)
    assert best.sensitivity == tp / (tp + fn)
    negatives = sum(~units.labels)
    assert best.specificity == (negatives - fp) / negatives


def test_metrics_at_a_score_include_that_score():
    units = ScoredUnits(np.array([0.2, 0.5, 0.5, 0.9]), np.array([0, 1, 0, 1], bool), np.arange(4))
    metrics = metrics_at(units, 0.5)
    assert (metrics.sensitivity, metrics.specificity, metrics.f1) == (1, 0.5, 0.8)


def test_one_kind_of_label_leaves_metrics_undefined():
    negative = ScoredUnits(np.array([0.1, 0.2]), np.zeros(2, bool), np.arange(2))
    assert best_f1(negative) is None
    assert np.isnan(metrics_at(negative, 0.5).sensitivity)
    assert np.isnan(metrics_at(negative, 0.5).f1)
    positive = ScoredUnits(np.array([0.1, 0.2]), np.ones(2, bool), np.arange(2))
    assert np.isnan(metrics_at(positive, 0.5).specificity)
    for units in (negative, positive):
        assert np.isnan(roc_auc(units, np.ones((1, 2)))).all()


def test_images_and_breasts_take_their_highest_score(build_case):
    box = (0, 0, 4, 4)
    case = build_case(
        5,
        lesions=[(1, 0, *box)],
        detections=[(0, 0, *box, 0.3), (0, 0, *box, 0.6), (1, 0, *box, 0.2), (4, 0, *box, 0.9)],
        patients=["a", "a", "a", "b", "b"],
        lateralities=["L", "L", "R", "L", "L"],
    )
    images = score_images(*case)
    assert images.scores.tolist() == [0.6, 0.2, 0, 0, 0.9]
    assert images.labels.tolist() == [False, True, False, False, False]
    assert images.patients.tolist() == [0, 0, 0, 1, 1]
    breasts = score_breasts(case[0], images)
    assert breasts.scores.tolist() == [0.6, 0, 0.9]
    assert breasts.labels.tolist() == [True, False, False]
    assert breasts.patients.tolist() == [0, 0, 1]


@pytest.mark.parametrize("missing", ["patients", "lateralities"])
def test_breasts_need_patient_and_laterality_on_every_image(build_case, missing):
    keys = {"patients": ["a", "b"], "lateralities": ["L", "R"], missing: ["x", None]}
    case = build_case(2, [], [], **keys)
    assert score_breasts(case[0], score_images(*case)) is None
