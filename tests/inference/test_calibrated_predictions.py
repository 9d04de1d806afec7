"""Predictions at an operating point: what is drawn, and which probabilities are written."""

import csv
import json

import cv2
import numpy as np
import pytest
from toy_image_detector import BrightnessDetector, write_images

from medmask.calibration import AppliedCalibration
from medmask.calibration.logistic import LogisticCalibrator
from medmask.errors import InputError
from medmask.inference import PredictionOptions, images_of_files, predict_images
from medmask.inference.merging import merge_predictions
from medmask.inference.options import Shard

OF_DETECTIONS, OF_IMAGES = LogisticCalibrator(2.0, 1.0), LogisticCalibrator(1.0, -1.0)
BRIGHTNESS = (50, 100, 200)


@pytest.fixture
def images(tmp_path):
    return images_of_files(write_images(tmp_path / "in", list(BRIGHTNESS)))


@pytest.fixture
def calibration():
    return AppliedCalibration(0.3, 100 / 255, "a set", "hash", OF_DETECTIONS, OF_IMAGES)


def scores():
    return np.float32(BRIGHTNESS) / np.float32(255)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_probabilities_are_in_all_results(images, calibration, tmp_path):
    options = PredictionOptions(overlays=False, formats=("json", "csv"))
    predict_images(BrightnessDetector(), images, tmp_path, options=options, calibration=calibration)
    found = json.loads((tmp_path / "detections.json").read_text())
    expected = OF_DETECTIONS(scores())
    np.testing.assert_allclose([x["probability"] for x in found], expected, rtol=1e-6)
    np.testing.assert_allclose([x["score"] for x in found], scores(), rtol=1e-6)
    table = [float(row["probability"]) for row in rows_of(tmp_path / "detections.csv")]
    np.testing.assert_allclose(table, expected, rtol=1e-6)
    of_images = [float(row["probability"]) for row in rows_of(tmp_path / "images.csv")]
    np.testing.assert_allclose(of_images, OF_IMAGES(scores()), rtol=1e-6)


def test_without_a_calibration_there_are_none(images, tmp_path):
    options = PredictionOptions(overlays=False, formats=("json", "csv"))
    predict_images(BrightnessDetector(), images, tmp_path, options=options)
    found = json.loads((tmp_path / "detections.json").read_text())
    assert all("probability" not in x for x in found)
    assert {row["probability"] for row in rows_of(tmp_path / "images.csv")} == {""}
    assert not merge_predictions(tmp_path, ("json",)).is_calibrated


def test_merged_shards_keep_them(images, calibration, tmp_path):
    for number in (1, 2):
        options = PredictionOptions(overlays=False, shard=Shard(number, 2))
        predict_images(
            BrightnessDetector(), images, tmp_path, options=options, calibration=calibration
        )
    assert merge_predictions(tmp_path, ("json",)).is_calibrated
    found = json.loads((tmp_path / "detections.json").read_text())
    expected = OF_DETECTIONS(scores())
    np.testing.assert_allclose([x["probability"] for x in found], expected, rtol=1e-6)


def test_threshold_decides_what_is_drawn(images, calibration, tmp_path):
    predict_images(BrightnessDetector(), images, tmp_path, calibration=calibration)
    pictures = [cv2.imread(str(path)) for path in sorted((tmp_path / "overlays").iterdir())]
    assert [bool(np.ptp(picture, axis=2).any()) for picture in pictures] == [False, True, True]


def test_results_of_another_calibration_are_not_gone_on_with(images, calibration, tmp_path):
    options = PredictionOptions(score_threshold=calibration.threshold, overlays=False)
    predict_images(BrightnessDetector(), images, tmp_path, options=options)
    with pytest.raises(InputError, match="with calibration=None, but now calibration="):
        predict_images(
            BrightnessDetector(), images, tmp_path, options=options, calibration=calibration
        )
