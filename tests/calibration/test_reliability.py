import numpy as np
import pytest

from medmask.calibration.calibrators import fit_calibrator
from medmask.calibration.reliability import (
    equal_count_bins,
    measure_reliability,
    out_of_fold,
    patient_folds,
)
from medmask.calibration.settings import METHODS
from medmask.evaluation.bootstrap import draw_patients, percentile_interval
from medmask.evaluation.classification import ScoredUnits


def random_units(seed, number=200, num_patients=40):
    random = np.random.default_rng(seed)
    scores = random.integers(1, 60, number) / 60
    return ScoredUnits(
        scores, random.random(number) < scores**2, random.integers(num_patients, size=number)
    )


def error_by_definition(probabilities, labels, bins):
    total = 0.0
    for number in set(bins):
        inside = [i for i in range(len(bins)) if bins[i] == number]
        if inside:
            share = sum(bool(labels[i]) for i in inside) / len(inside)
            mean = sum(probabilities[i] for i in inside) / len(inside)
            total += len(inside) * abs(share - mean)
    return total / len(probabilities)


@pytest.mark.parametrize("seed", range(4))
def test_error_and_intervals_are_those_of_the_definition(seed):
    units = random_units(seed)
    probabilities = units.scores**1.5
    weights = draw_patients(40, 30, seed)
    result = measure_reliability(probabilities, units, weights)
    bins = equal_count_bins(probabilities)
    assert result.ece == pytest.approx(error_by_definition(probabilities, units.labels, bins))
    resampled = []
    for row in weights:
        indices = np.repeat(np.arange(len(bins)), row[units.patients])
        resampled.append(
            error_by_definition(probabilities[indices], units.labels[indices], bins[indices])
        )
    np.testing.assert_allclose(result.ece_interval, percentile_interval(np.array(resampled)))
    assert result.brier == pytest.approx(((probabilities - units.labels) ** 2).sum() / 200)
    assert result.counts.sum() == 200
    assert result.positives.sum() == units.labels.sum()


def test_bins_hold_equally_many_and_never_part_equal_values():
    values = np.random.default_rng(0).permutation(np.arange(1000.0))
    bins = equal_count_bins(values)
    assert np.bincount(bins).tolist() == [100] * 10
    assert (np.diff(bins[np.argsort(values)]) >= 0).all()
    tied = equal_count_bins(np.repeat([0.1, 0.2, 0.9], [500, 20, 5]))
    assert sorted(set(zip(np.repeat([1, 2, 3], [500, 20, 5]), tied, strict=True))) == [
        (1, 0),
        (2, 1),
        (3, 1),
    ]
    assert equal_count_bins(np.array([0.5])).tolist() == [0]


@pytest.mark.parametrize("method", METHODS)
def test_no_patient_sees_a_calibration_of_its_own(method):
    units = random_units(1)
    folds = patient_folds(units, 5, seed=3)
    probabilities = out_of_fold(method, units, 5, seed=3)
    for patient in range(40):
        assert len(set(folds[units.patients == patient])) <= 1
    for fold in range(5):
        inside = folds == fold
        others = ScoredUnits(units.scores[~inside], units.labels[~inside], units.patients[~inside])
        expected = fit_calibrator(method, others)(units.scores[inside])
        np.testing.assert_allclose(probabilities[inside], expected)


def test_positive_patients_are_divided_evenly():
    patients = np.arange(50)
    units = ScoredUnits(np.full(50, 0.5), patients < 10, patients)
    folds = patient_folds(units, 5, seed=0)
    assert np.bincount(folds[:10]).tolist() == [2] * 5
    assert np.bincount(folds).tolist() == [10] * 5


def test_one_patient_has_no_others():
    units = ScoredUnits(np.array([0.1, 0.9]), np.array([False, True]), np.array([7, 7]))
    assert out_of_fold("logistic", units, 5, seed=0) is None
