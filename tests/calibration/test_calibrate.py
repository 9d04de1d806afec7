import json

import numpy as np
import pytest

from medmask.calibration import (
    CalibrationSettings,
    calibrate_scores,
    calibration_to_json,
    format_calibration,
    plot_calibration,
    read_calibration,
)
from medmask.calibration.settings import METHODS
from medmask.errors import InputError
from medmask.evaluation import EvaluationSettings
from medmask.utils.json_files import write_json

QUICK = EvaluationSettings(operating_points=(0.1, 0.3, 4.0), bootstrap=60)


def text_of(calibration):
    return " ".join(calibration.warnings)


@pytest.mark.parametrize("method", METHODS)
def test_finds_the_probabilities_of_the_detector(make_random_set, chance, source, method):
    case = make_random_set(0, num_images=2000)
    result = calibrate_scores(*case, source, CalibrationSettings(QUICK, method))
    scores = np.array([0.1, 0.2, 0.3, 0.45])
    np.testing.assert_allclose(result.detections.calibrator(scores), chance(scores), atol=0.08)
    # an image has one detection here
    np.testing.assert_allclose(result.images.calibrator(scores), chance(scores), atol=0.08)
    assert result.detections.reliability.ece < 0.05
    assert result.detections.reliability_of_scores.ece > 0.1
    assert len(result.warnings) == 1
    assert "the threshold at 4 is 0" in text_of(result)  # there is one detection an image
    assert (result.counts.patients, result.counts.detections_calibrated) == (1000, 2000)


def test_only_what_the_highest_operating_point_shows_decides(make_set, source):
    found = [(i, i % 2 == 0, 0.5 + i / 1000) for i in range(100)]
    low = [(i % 100, True, 0.01 + i / 1e5) for i in range(50)]  # hits by chance
    settings = CalibrationSettings(EvaluationSettings(operating_points=(0.3,), bootstrap=0))
    shown = calibrate_scores(*make_set(100, found + low), source, settings)
    assert shown.lowest_score == shown.operating_points[0].threshold > 0.5
    assert shown.counts.detections_calibrated == sum(s >= shown.lowest_score for *_, s in found)


def test_ignored_regions_count_nowhere(make_set, source):
    ground_truth, detections = make_set(3, [(0, True, 0.9), (1, True, 0.8), (2, False, 0.3)])
    ground_truth.is_crowd[1] = True
    result = calibrate_scores(ground_truth, detections, source, CalibrationSettings(QUICK))
    assert (result.counts.detections_calibrated, result.counts.hits_calibrated) == (2, 1)
    assert result.counts.images_with_lesions == 1


def test_edges(make_set, source, tmp_path):
    cases = {
        "one patient": make_set(3, [(0, True, 0.9), (1, False, 0.4)], patients=["a"] * 3),
        "rough": make_set(3, [(0, True, 0.9), (1, False, 0.4)]),
        "one probability": make_set(4, [(0, True, 0.2), (1, False, 0.8), (2, False, 0.9)]),
        "threshold at 4 is 0": make_set(2, [(0, False, 0.5)], lesions=[0]),
        "no threshold for that": make_set(2, [(0, False, 1.0), (1, False, 1.0)], lesions=[1]),
        "without a patient_id": make_set(2, [(0, True, 0.5)], patients=[None, "b"]),
    }
    for words, case in cases.items():
        for method in METHODS:
            result = calibrate_scores(*case, source, CalibrationSettings(QUICK, method))
            if words != "one probability" or method == "logistic":
                assert words in text_of(result), method
            probabilities = result.detections.calibrator(np.linspace(0, 1, 11))
            assert np.isfinite(probabilities).all()
            path = tmp_path / "calibration.json"
            write_json(path, calibration_to_json(result))  # strict JSON
            assert read_calibration(path).data_name == "some set"
            plot_calibration(result, tmp_path / "plot.png")
            assert "FP/image" in format_calibration(result)


def test_intervals_of_few_patients_are_called_too_narrow(make_set, source):
    found = [(i, i % 2 == 0, 0.4 + i / 1000) for i in range(100)]
    case = make_set(100, found, patients=[i // 2 % 9 for i in range(100)])
    result = calibrate_scores(*case, source, CalibrationSettings(QUICK))
    assert "images with a lesion are of only 9 patients, so the intervals" in text_of(result)
    assert "images without a lesion are of only 9 patients" in text_of(result)
    settings = CalibrationSettings(EvaluationSettings(operating_points=(4.0,), bootstrap=0))
    assert "intervals" not in text_of(calibrate_scores(*case, source, settings))
    enough = make_set(100, found, patients=[i // 2 % 10 for i in range(100)])
    assert "intervals" not in text_of(calibrate_scores(*enough, source, CalibrationSettings(QUICK)))


@pytest.mark.parametrize(("without", "told"), [(0, "All images have a lesion"), (5, "is only 5,")])
def test_few_images_without_a_lesion_are_told(make_set, source, without, told):
    found = [(i, i >= without, 0.4 + i / 1000) for i in range(40)]
    result = calibrate_scores(*make_set(40, found), source, CalibrationSettings(QUICK))
    assert told in text_of(result)
    assert "scores of images" not in text_of(result)


def test_nothing_to_calibrate_on_is_refused(make_set, source):
    with pytest.raises(InputError, match="some set has no lesion"):
        calibrate_scores(*make_set(2, [(0, False, 0.5)]), source)
    with pytest.raises(InputError, match="there is no detection on some set"):
        calibrate_scores(*make_set(2, [], lesions=[0]), source)


def test_settings_out_of_range_are_refused():
    for setting in (
        {"method": "platt"},
        {"folds": 1},
        {"folds": 2.5},
        {"evaluation": EvaluationSettings(operating_points=(0.0, 1.0))},
        {"evaluation": EvaluationSettings(operating_points=(1.0, 1.0))},
    ):
        with pytest.raises(InputError, match="must be"):
            CalibrationSettings(**setting)


def test_the_same_again(make_random_set, source):
    first, second = (
        json.dumps(calibration_to_json(calibrate_scores(*make_random_set(2), source)))
        for _ in range(2)
    )
    assert first == second
