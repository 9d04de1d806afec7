import numpy as np
import pytest

from medmask.calibration.thresholds import (
    find_operating_points,
    resampled_thresholds,
    thresholds_at,
)
from medmask.evaluation.bootstrap import draw_patients
from medmask.evaluation.matching import localize

RATES = (0.1, 0.2, 0.3, 0.5, 1, 2, 4)


def threshold_by_trying(false_positives, found, num_images, fpi):
    """The lowest score at which there are no more false positives than allowed."""
    allowed = round(fpi * num_images, 9)
    if len(false_positives) <= allowed:
        return 0.0
    fits = [
        score
        for score in {*false_positives, *found}
        if sum(other >= score for other in false_positives) <= allowed
    ]
    return min(fits, default=np.inf)


def random_localizations(make_set, seed):
    random = np.random.default_rng(seed)
    num_images = int(random.integers(1, 10))
    found = [
        (int(random.integers(num_images)), bool(random.random() < 0.3), random.integers(1, 9) / 10)
        for _ in range(random.integers(0, 5 * num_images))
    ]
    patients = random.integers(max(1, num_images // 2), size=num_images).tolist()
    case = make_set(num_images, found, patients=patients)
    return localize(*case), case[0].patient_groups()


@pytest.mark.parametrize("seed", range(20))
def test_equal_trying_all_scores_in_the_set_and_in_resamples(make_set, seed):
    localizations, patients = random_localizations(make_set, seed)
    weights = draw_patients(int(patients.max()) + 1, 25, seed)
    rows = [np.ones(weights.shape[1], dtype=int), *weights]
    expected = []
    for row in rows:
        times_fp = row[patients[localizations.false_positive_images]]
        times_lesion = row[patients[localizations.lesion_images]]
        false_positives = np.repeat(localizations.false_positive_scores, times_fp).tolist()
        found = np.repeat(localizations.lesion_scores, times_lesion)
        found = found[found > -np.inf].tolist()
        num_images = int(row[patients].sum())
        expected.append(
            [threshold_by_trying(false_positives, found, num_images, fpi) for fpi in RATES]
        )
    np.testing.assert_array_equal(thresholds_at(localizations, RATES), expected[0])
    np.testing.assert_array_equal(
        resampled_thresholds(localizations, patients, weights, RATES), expected[1:]
    )


def test_point_with_intervals(make_set):
    found = [(i, i < 10, 0.1 + i / 100) for i in range(40)]
    case = make_set(40, found)
    patients = case[0].patient_groups()
    weights = draw_patients(40, 400, 0)
    (point,) = find_operating_points(localize(*case), [0.3], patients, weights)
    # 12 false positives are allowed: those of 0.38 to 0.49
    assert point.threshold == pytest.approx(0.38)
    assert (point.attained_fpi, point.sensitivity, point.is_reached) == (0.3, 0, True)
    low, high = point.threshold_interval
    assert low < point.threshold < high
    low, high = point.attained_fpi_interval
    # the count is binomial: 0.3 with a standard error of sqrt(0.3 * 0.7 / 40)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.21 / 40), rel=0.2)


def test_rate_that_is_never_reached_shows_everything(make_set):
    case = make_set(4, [(0, True, 0.9), (1, False, 0.2)])
    weights = draw_patients(4, 50, 0)
    points = find_operating_points(localize(*case), [0.1, 4], case[0].patient_groups(), weights)
    assert [point.threshold for point in points] == [0.9, 0]
    assert [point.is_reached for point in points] == [True, False]
    assert points[1].attained_fpi == 0.25
    assert points[1].threshold_interval.tolist() == [0, 0]


def test_ties_at_the_top_that_exceed_the_rate_show_nothing(make_set):
    case = make_set(4, [(i, i == 0, 0.9) for i in range(4)])
    (point,) = find_operating_points(localize(*case), [0.5], case[0].patient_groups(), None)
    assert point.threshold == np.inf
    assert (point.sensitivity, point.attained_fpi, point.threshold_interval) == (0, 0, None)
