"""Differences over patients against an evaluation of resampled sets written out in full."""

from dataclasses import replace

import numpy as np
import pytest

from medmask.evaluation import Detections, EvaluationSettings, GroundTruth, evaluate_detections
from medmask.evaluation.bootstrap import draw_patients
from medmask.evaluation.classification import ScoredUnits, roc_auc, roc_curve
from medmask.evaluation.paired_bootstrap import compare_over_patients

SETTINGS = EvaluationSettings(operating_points=(0.5, 2.0), bootstrap=20, seed=3)


def make_set(seed, num_images=12, num_patients=5):
    random = np.random.default_rng(seed)
    images = random.integers(num_images, size=9)
    corners = random.uniform(0, 80, (9, 2))
    return GroundTruth(
        image_ids=tuple(range(num_images)),
        category_ids=(1,),
        category_names=("lesion",),
        boxes=np.concatenate([corners, corners + 12], axis=1),
        image_indices=images,
        category_indices=np.zeros(9, dtype=np.int64),
        is_crowd=np.zeros(9, dtype=bool),
        patients=tuple(i % num_patients for i in range(num_images)),
        lateralities=(None,) * num_images,
    )


def detect(truth, seed):
    random = np.random.default_rng(seed)
    boxes = [truth.boxes, random.uniform(0, 80, (15, 2)).repeat(2, axis=0).reshape(15, 4)]
    boxes[1][:, 2:] += 12
    images = np.concatenate([truth.image_indices, random.integers(truth.num_images, size=15)])
    return Detections(
        boxes=np.concatenate(boxes),
        scores=random.uniform(size=len(images)),
        image_indices=images,
        category_indices=np.zeros(len(images), dtype=np.int64),
    )


def written_out(truth, detections, times):
    """The set in which each patient stands as often as it was drawn, image by image."""
    chosen = [
        image for image, patient in enumerate(truth.patient_groups()) for _ in range(times[patient])
    ]

    def copies(indices):
        pairs = [(i, new) for new, old in enumerate(chosen) for i in np.flatnonzero(indices == old)]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2).T

    lesions, lesion_images = copies(truth.image_indices)
    found, found_images = copies(detections.image_indices)
    resampled = replace(
        truth,
        image_ids=tuple(range(len(chosen))),
        boxes=truth.boxes[lesions],
        image_indices=lesion_images,
        category_indices=truth.category_indices[lesions],
        is_crowd=truth.is_crowd[lesions],
        patients=(None,) * len(chosen),
        lateralities=(None,) * len(chosen),
    )
    return resampled, replace(detections.select(found), image_indices=found_images)


def figures(truth, detections):
    result = evaluate_detections(truth, detections, replace(SETTINGS, bootstrap=0))
    return np.array([*result.sensitivity, result.cpm, result.images.auc])


def test_differences_are_those_of_sets_written_out():
    truth = make_set(0)
    control, other = detect(truth, 1), detect(truth, 2)
    (differences,) = compare_over_patients(truth, [control, other], SETTINGS)
    assert [each.metric for each in differences] == ["R@0.5", "R@2", "CPM", "image AUC"]
    whole = figures(truth, other) - figures(truth, control)
    np.testing.assert_allclose([each.difference for each in differences], whole)

    samples = np.array(
        [
            figures(*written_out(truth, other, times))
            - figures(*written_out(truth, control, times))
            for times in draw_patients(5, SETTINGS.bootstrap, SETTINGS.seed)
        ]
    )
    expected = np.nanquantile(samples, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose([each.interval for each in differences], expected)


def test_a_detector_does_not_differ_from_itself():
    truth = make_set(4)
    found = detect(truth, 1)
    for each in compare_over_patients(truth, [found, found], SETTINGS)[0]:
        assert each.difference == 0
        assert not each.excludes_zero
    (without,) = compare_over_patients(truth, [found, found], replace(SETTINGS, bootstrap=0))
    assert np.isnan(without[0].interval).all()
    assert not without[0].excludes_zero


@pytest.mark.parametrize("has_others", [False, True])
def test_one_patient_with_lesions_shows_no_difference(has_others):
    truth = make_set(0)
    with_lesion = truth.images_with_lesions().tolist()
    names = ("a" if each or not has_others else f"b{i}" for i, each in enumerate(with_lesion))
    truth = replace(truth, patients=tuple(names))
    (differences,) = compare_over_patients(truth, [detect(truth, 1), detect(truth, 2)], SETTINGS)
    assert any(each.difference != 0 for each in differences)
    for each in differences:
        assert np.isnan(each.interval).all()
        assert not each.excludes_zero


@pytest.mark.parametrize("levels", [3, 1000])
def test_area_below_the_roc_curve(levels):
    random = np.random.default_rng(levels)
    scores = random.integers(levels, size=60) / levels
    units = ScoredUnits(scores, random.uniform(size=60) < 0.4, np.arange(60))
    false_positive_rate, sensitivity = roc_curve(units)
    area = np.trapezoid(sensitivity, false_positive_rate)
    assert area == pytest.approx(roc_auc(units, np.ones((1, 60)))[0])
    assert (false_positive_rate[0], sensitivity[0]) == (0, 0)
    assert (false_positive_rate[-1], sensitivity[-1]) == (1, 1)
    alone = ScoredUnits(scores, np.ones(60, dtype=bool), np.arange(60))
    assert np.isnan(roc_curve(alone)[0]).all()
