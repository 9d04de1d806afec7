import copy
import json
from pathlib import Path

import numpy as np
import pytest
from calibrations import calibrate

from medmask.calibration import calibration_to_json, read_calibration, read_calibration_report
from medmask.errors import InputError


def assert_same(found, expected):
    assert type(found) is type(expected)
    for name, value in vars(expected).items():
        if value is None:
            assert getattr(found, name) is None
        else:
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "calibration.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.parametrize("bootstrap", [0, 30])
def test_what_is_written_is_read(write, bootstrap):
    calibration = calibrate(bootstrap=bootstrap)
    report = read_calibration_report(write(calibration_to_json(calibration)))
    assert report.source == calibration.source
    assert report.counts == calibration.counts
    assert report.lowest_score == calibration.lowest_score
    assert report.warnings == calibration.warnings
    for found, expected in (
        (report.detections, calibration.detections),
        (report.images, calibration.images),
    ):
        assert found.method == "logistic"
        assert_same(found.calibrated, expected.reliability)
        assert_same(found.as_they_are, expected.reliability_of_scores)
    assert len(report.operating_points) == 3
    for found, expected in zip(report.operating_points, calibration.operating_points, strict=True):
        assert_same(found, expected)


def test_file_is_read_once(write, monkeypatch):
    path = write(calibration_to_json(calibrate(bootstrap=0)))
    reads, read = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: reads.append(self) or read(self))
    read_calibration(path)
    read_calibration_report(path)
    assert reads == [path, path]


def test_one_patient_has_nothing_out_of_fold(write):
    calibration = calibrate(bootstrap=0, patients=1)
    report = read_calibration_report(write(calibration_to_json(calibration)))
    assert report.detections.calibrated is None


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        (("counts", "images"), -1, "counts"),
        (("source", "weights_file"), 3, "source"),
        (("lowest_score",), "low", "lowest_score"),
        (("detections", "out_of_fold", "ece"), None, "detections"),
        (("detections", "out_of_fold", "bins", "count"), [1], "detections"),
        (("images", "scores_as_they_are", "bins", "observed"), "x", "images"),
        (("images", "out_of_fold", "ece_interval"), [1], "images"),
        (("operating_points", 0, "sensitivity"), True, "operating_points"),
        (("warnings",), [1], "warnings"),
        (("warnings",), None, "warnings"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_damage_is_named(write, place, value, key):
    content = copy.deepcopy(calibration_to_json(calibrate(bootstrap=10)))
    part = content
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    with pytest.raises(InputError, match=rf"calibration\.json is damaged, or is none, at '{key}'"):
        read_calibration_report(write(content))
