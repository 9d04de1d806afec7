import dataclasses
import json

import numpy as np
import pytest

from medmask.calibration import (
    CalibrationSettings,
    calibrate_scores,
    calibration_to_json,
    read_calibration,
)
from medmask.calibration.settings import METHODS
from medmask.errors import InputError
from medmask.evaluation import EvaluationSettings

SETTINGS = EvaluationSettings(operating_points=(0.1, 0.3), bootstrap=0)


@pytest.fixture(params=METHODS)
def result(make_random_set, source, request):
    return calibrate_scores(
        *make_random_set(1), source, CalibrationSettings(SETTINGS, request.param)
    )


@pytest.fixture
def store(tmp_path):
    def write(content):
        path = tmp_path / "calibration.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_what_is_read_is_what_was_written(result, store):
    stored = read_calibration(store(calibration_to_json(result)))
    stored.check_fits("ab" * 32, config="config", nms_iou=0.1)
    unknown = dataclasses.replace(stored, config=None)  # as of detections from a file
    unknown.check_fits("ab" * 32, config="any", nms_iou=0.1)
    applied = stored.at(0.3)
    assert applied.threshold == result.operating_points[1].threshold
    scores = np.linspace(0, 1, 21)
    np.testing.assert_array_equal(
        applied.detection_probabilities(scores), result.detections.calibrator(scores)
    )
    highest = result.images.calibrator(np.array([0.4]))[0]
    assert applied.image_probability(np.array([0.1, 0.4, 0.3])) == highest
    assert applied.image_probability(np.array([])) == result.images.calibrator(np.zeros(1))[0]
    assert "calibrated on some set" in applied.describe()
    assert "0.3 false positives per image" in applied.describe()


@pytest.mark.parametrize(
    ("fits", "words"),
    [
        ({"weights_sha256": "0" * 64}, "is the calibration of other weights"),
        ({"config": "another"}, "was made with another config"),
        ({"nms_iou": None}, "was made with --nms-iou 0.1, not none"),
    ],
    ids=["weights", "config", "nms"],
)
def test_other_predictions_are_refused(result, store, fits, words):
    stored = read_calibration(store(calibration_to_json(result)))
    with pytest.raises(InputError, match=words):
        stored.check_fits(
            **{"weights_sha256": "ab" * 32, "config": "config", "nms_iou": 0.1, **fits}
        )


def test_unknown_and_empty_operating_points_are_refused(result, store):
    content = calibration_to_json(result)
    content["operating_points"][0]["threshold"] = None
    stored = read_calibration(store(content))
    with pytest.raises(InputError, match=r"no threshold at 2 .*, but at 0\.1, 0\.3: choose"):
        stored.at(2)
    with pytest.raises(InputError, match="the highest scores alone exceed it"):
        stored.at(0.1)


def test_absent_file_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist: make it with `medmask calibrate`"):
        read_calibration(tmp_path / "calibration.json")


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("format",), "other", "format"),
        (("version",), 2, "format"),
        (("source",), None, "source"),
        (("source", "weights_sha256"), 3, "weights_sha256"),
        (("settings", "nms_iou"), "0.1", "nms_iou"),
        (("detections",), [], "detections"),
        (("images", "calibrator"), {"method": "exec"}, "images.calibrator"),
        (("images", "calibrator"), {"method": "logistic", "slope": -1, "intercept": 0}, "images"),
        (
            ("images", "calibrator"),
            {"method": "logistic", "slope": 1, "intercept": float("nan")},
            "images",
        ),
        (
            ("images", "calibrator"),
            {"method": "isotonic", "scores": [0, 1], "probabilities": [1, 0]},
            "images",
        ),
        (
            ("images", "calibrator"),
            {"method": "isotonic", "scores": [0.5], "probabilities": [1.5]},
            "images",
        ),
        (("operating_points",), [], "operating_points"),
        (("operating_points",), [{"fpi": "0.3", "threshold": 0.1}], "operating_points"),
        (("operating_points",), [{"fpi": 0.3, "threshold": 7}], "threshold"),
        (("operating_points",), [{"fpi": True, "threshold": 0.1}], "operating_points"),
        (("operating_points",), [{"fpi": 10**400, "threshold": 0.1}], "operating_points"),
        (("operating_points",), [{"fpi": 0.3}], "threshold"),
    ],
    ids=str,
)
def test_damaged_files_are_refused_by_the_key(result, store, keys, value, named):
    content = calibration_to_json(result)
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(InputError, match=rf"is damaged, or is none, at '{named}"):
        read_calibration(store(content))


def test_cut_off_file_is_refused(store):
    with pytest.raises(InputError, match="is cut off"):
        read_calibration(store('{"format": '))
