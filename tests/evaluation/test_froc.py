from fractions import Fraction

import numpy as np
import pytest

from medmask.evaluation import OPERATING_POINTS
from medmask.evaluation.froc import (
    competition_performance_metric,
    false_positive_budgets,
    froc_curve,
    sensitivity_at,
)
from medmask.evaluation.matching import localize


def count_by_loops(ground_truth, detections, threshold) -> tuple[int, int]:
    """(lesions found, false positives) at a threshold, straight from the definition."""
    found, false_positives = set(), 0
    for d in range(len(detections)):
        if detections.scores[d] < threshold:
            continue
        x0, y0, x1, y1 = detections.boxes[d]
        hits = [
            g
            for g, (left, top, right, bottom) in enumerate(ground_truth.boxes)
            if ground_truth.image_indices[g] == detections.image_indices[d]
            and ground_truth.category_indices[g] == detections.category_indices[d]
            and 2 * left <= x0 + x1 <= 2 * right
            and 2 * top <= y0 + y1 <= 2 * bottom
        ]
        found.update(g for g in hits if not ground_truth.is_crowd[g])
        false_positives += not hits
    return len(found), false_positives


@pytest.mark.parametrize("seed", range(80))
def test_curve_and_operating_points_equal_a_count_at_every_threshold(random_case, seed):
    ground_truth, detections = random_case(seed)
    localizations = localize(ground_truth, detections)
    curve = froc_curve(localizations)
    thresholds = [np.inf, *sorted(set(detections.scores), reverse=True)]
    counts = {t: count_by_loops(ground_truth, detections, t) for t in thresholds}

    assert set(curve.thresholds) <= set(thresholds)
    for threshold, expected in counts.items():
        last = np.flatnonzero(curve.thresholds >= threshold)[-1]
        assert (curve.lesions_found[last], curve.false_positives[last]) == expected

    expected = [
        max(
            found
            for found, false_positives in counts.values()
            if Fraction(false_positives, ground_truth.num_images) <= Fraction(str(point))
        )
        for point in OPERATING_POINTS
    ]
    sensitivity = sensitivity_at(localizations, OPERATING_POINTS)
    if ground_truth.num_lesions == 0:
        assert np.isnan(sensitivity).all()
    else:
        np.testing.assert_array_equal(sensitivity, np.array(expected) / ground_truth.num_lesions)


@pytest.mark.parametrize("seed", range(20))
def test_cpm_is_the_mean_over_the_seven_rates_of_luna16(random_case, seed):
    ground_truth, detections = random_case(seed)
    cpm = competition_performance_metric(localize(ground_truth, detections))
    thresholds = [np.inf, *set(detections.scores)]
    counts = [count_by_loops(ground_truth, detections, t) for t in thresholds]
    best = [
        max(found for found, wrong in counts if wrong <= rate * ground_truth.num_images)
        for rate in (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
    ]
    lesions = ground_truth.num_lesions
    expected = sum(best) / 7 / lesions if lesions else np.nan
    np.testing.assert_allclose(cpm, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_corners_draw_the_same_staircase(random_case, seed):
    localizations = localize(*random_case(seed))
    curve = froc_curve(localizations)
    corners = curve.corners()
    for fpi in [*OPERATING_POINTS, 0, curve.fpi[-1], 100]:
        last = np.flatnonzero(corners.fpi <= fpi)[-1]
        np.testing.assert_array_equal(
            corners.sensitivity[last], sensitivity_at(localizations, [fpi])[0]
        )
    assert corners.fpi[-1] == curve.fpi[-1]


@pytest.mark.parametrize("num_images", [1, 3, 7, 10, 40, 199, 1000, 100_003])
def test_budget_is_the_exact_floor(num_images):
    budgets = false_positive_budgets(OPERATING_POINTS, np.array(num_images))
    exact = [int(Fraction(str(point)) * num_images) for point in OPERATING_POINTS]
    assert budgets.tolist() == exact


def test_a_third_of_three_images_allows_one_false_positive():
    assert false_positive_budgets([1 / 3, 0.29, 0], np.array([3, 100])).tolist() == [
        [1, 0, 0],
        [33, 29, 0],
    ]


def test_false_positives_exactly_at_the_point_are_within_it(build_case):
    box = (0, 0, 4, 4)
    false_positives = [(i, 0, 50, 50, 54, 54, 0.9) for i in range(3)]
    lesion_found_last = (0, 0, *box, 0.8)
    case = build_case(10, [(0, 0, *box)], [*false_positives, lesion_found_last])
    assert sensitivity_at(localize(*case), [0.2, 0.3]).tolist() == [0, 1]


def test_detections_of_equal_score_enter_together(build_case):
    box = (0, 0, 4, 4)
    tied = [(0, 0, *box, 0.5), (0, 0, 50, 50, 54, 54, 0.5)]
    curve = froc_curve(localize(*build_case(1, [(0, 0, *box)], tied)))
    assert curve.thresholds.tolist() == [np.inf, 0.5]
    assert curve.false_positives.tolist() == [0, 1]
    assert curve.lesions_found.tolist() == [0, 1]


def test_no_detections_find_nothing_at_no_false_positive(build_case):
    localizations = localize(*build_case(2, [(0, 0, 0, 0, 4, 4)], []))
    curve = froc_curve(localizations)
    assert (curve.fpi.tolist(), curve.sensitivity.tolist()) == ([0], [0])
    assert sensitivity_at(localizations, OPERATING_POINTS).tolist() == [0] * len(OPERATING_POINTS)


def test_a_set_without_lesions_still_counts_false_positives(build_case):
    localizations = localize(*build_case(4, [], [(0, 0, 0, 0, 1, 1, 0.9), (1, 0, 0, 0, 1, 1, 0.4)]))
    curve = froc_curve(localizations)
    assert curve.fpi.tolist() == [0, 0.25, 0.5]
    assert np.isnan(curve.sensitivity).all()
