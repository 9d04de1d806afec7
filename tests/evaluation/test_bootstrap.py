import tracemalloc

import numpy as np
import pytest

from medmask.evaluation.bootstrap import (
    draw_patients,
    percentile_interval,
    resampled_auc,
    resampled_sensitivity,
)
from medmask.evaluation.classification import ScoredUnits, roc_auc
from medmask.evaluation.froc import sensitivity_at
from medmask.evaluation.matching import localize

RATES = (0, 0.1, 0.3, 0.5, 1, 2, 4)


def repeat_images(build_case, case, images):
    """The set that consists of these images, each a new one, with its lesions and detections."""
    truth, found = case
    lesions, crowd, detections = [], [], []
    for new, old in enumerate(images):
        for g in np.flatnonzero(truth.image_indices == old):
            lesions.append((new, truth.category_indices[g], *truth.boxes[g]))
            crowd.append(truth.is_crowd[g])
        for d in np.flatnonzero(found.image_indices == old):
            detections.append((new, found.category_indices[d], *found.boxes[d], found.scores[d]))
    return build_case(len(images), lesions, detections, crowd=crowd, num_categories=2)


@pytest.mark.parametrize("seed", range(8))
def test_equals_evaluating_each_resampled_set(build_case, random_case, seed):
    case = random_case(seed)
    patients = case[0].patient_groups()
    weights = draw_patients(int(patients.max()) + 1, 30, seed)
    expected = []
    for row in weights:
        images = [i for i, patient in enumerate(patients) for _ in range(row[patient])]
        resampled = repeat_images(build_case, case, images)
        expected.append(sensitivity_at(localize(*resampled), RATES))
    result = resampled_sensitivity(localize(*case), patients, weights, RATES)
    np.testing.assert_allclose(result, expected, atol=1e-12)
    np.testing.assert_allclose(
        percentile_interval(result),
        [
            np.percentile(column[~np.isnan(column)], [2.5, 97.5])
            if not np.isnan(column).all()
            else [np.nan] * 2
            for column in np.array(expected).T
        ],
    )


def test_draws_with_replacement_by_seed():
    weights = draw_patients(50, 2000, seed=3)
    assert (weights.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(weights, draw_patients(50, 2000, seed=3))
    assert (weights != draw_patients(50, 2000, seed=4)).any()
    # The weight of a patient is binomial: mean 1, variance 1 - 1/50.
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.12)
    np.testing.assert_allclose(weights.var(), 0.98, atol=0.02)


def test_interval_has_the_width_of_the_binomial(build_case):
    """One lesion a patient, half of them found: the standard error is sqrt(1/4 / 400)."""
    box = (0, 0, 4, 4)
    case = build_case(
        400, [(i, 0, *box) for i in range(400)], [(i, 0, *box, 0.5) for i in range(0, 400, 2)]
    )
    patients = case[0].patient_groups()
    weights = draw_patients(400, 4000, seed=0)
    sensitivity = resampled_sensitivity(localize(*case), patients, weights, [0.3])
    low, high = percentile_interval(sensitivity)[0]
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.25 / 400), rel=0.08)


def test_resamples_without_a_lesion_are_left_out():
    values = np.array([[0.2, np.nan], [np.nan, np.nan], [0.4, np.nan]])
    np.testing.assert_allclose(percentile_interval(values, 1.0 - 1e-9), [[0.2, 0.4], [np.nan] * 2])
    np.testing.assert_allclose(percentile_interval(np.array([np.nan, 1.0, 1.0])), [1, 1])


def test_areas_of_resamples_need_little_memory():
    random = np.random.default_rng(0)
    units = ScoredUnits(
        random.uniform(size=20_000).round(2),
        random.uniform(size=20_000) < 0.1,
        np.arange(20_000) // 40,
    )
    weights = draw_patients(500, 130, seed=1)
    expected = [roc_auc(units, row[None, units.patients])[0] for row in weights]
    tracemalloc.start()
    try:
        areas = resampled_auc(units, weights)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert areas.tolist() == expected
    assert peak < 100 * 2**20  # all at once take 170 MB
