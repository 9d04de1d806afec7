"""Calibrated probabilities in the objects, and what is said where there are none."""

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from calibrations import logistic_calibration
from toy_image_detector import CenterDetector

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from highdicom import sr
from pydicom.sr.codedict import codes

from medmask.calibration.settings import UNCALIBRATED
from medmask.dicom_results import read_detections_of_images, read_predictions, write_results
from medmask.dicom_results.options import ResultOptions
from medmask.dicom_results.predictions import ScoredImage
from medmask.errors import InputError
from medmask.inference import PredictionOptions, predict_images
from medmask.inference.prediction_images import images_of_files


@pytest.fixture(scope="module")
def results(calibrated_predictions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    assert not write_results(calibrated_predictions, folder).problems
    return folder


def expected(predictions):
    """(probability, score) of all findings, sorted."""
    return sorted(
        (finding.probability, finding.score)
        for image in predictions.images
        for finding in image.findings
        if finding.score >= 0.3
    )


def groups_of(path):
    return sr.srread(path).content.get_planar_roi_measurement_groups()


def texts_of(item):
    """All texts of a tree."""
    yield from [item.TextValue] if "TextValue" in item else []
    for child in item.get("ContentSequence", ()):
        yield from texts_of(child)


def test_measurement_reports_have_probability_and_score(results, calibrated_predictions):
    found = []
    for path in results.rglob("measurement_report.dcm"):
        for group in groups_of(path):
            (certainty,) = group.get_measurements(codes.DCM.CertaintyOfFinding)
            (score,) = group.get_measurements(codes.SCT.Score)
            assert certainty.unit == codes.UCUM.Percent
            assert score.unit == codes.UCUM.NoUnits
            found.append((certainty.value / 100, score.value))
    np.testing.assert_allclose(sorted(found), expected(calibrated_predictions), rtol=1e-12)


def test_cad_reports_have_the_probability_as_certainty(results, calibrated_predictions):
    found = []

    def look(item):
        names = item.get("ConceptNameCodeSequence", ())
        if any(name.CodeMeaning == "Certainty of Finding" for name in names):
            found.append(item.MeasuredValueSequence[0].FloatingPointValue / 100)
        for child in item.get("ContentSequence", ()):
            look(child)

    for path in results.rglob("cad_report.dcm"):
        look(pydicom.dcmread(path))
    wanted = [probability for probability, _ in expected(calibrated_predictions)]
    np.testing.assert_allclose(sorted(found), wanted, rtol=1e-12)


@pytest.mark.parametrize("is_calibrated", [True, False], ids=["calibrated", "not"])
def test_every_report_and_state_says_what_its_numbers_are(
    predictions, calibrated_predictions, tmp_path, is_calibrated
):
    write_results(calibrated_predictions if is_calibrated else predictions, tmp_path)
    sentences = (calibrated_predictions.calibration, UNCALIBRATED)
    said, other = sentences if is_calibrated else sentences[::-1]
    paths = [path for path in tmp_path.rglob("*.dcm") if "capture" not in path.name]
    assert len(paths) == 4 + 8
    for path in paths:
        dataset = pydicom.dcmread(path)
        texts = list(texts_of(dataset))
        for annotation in dataset.get("GraphicAnnotationSequence", ()):
            texts += [text.UnformattedTextValue for text in annotation.TextObjectSequence]
        assert any(said in text for text in texts), path
        assert not any(other in text for text in texts), path


def test_labels_are_probabilities(results):
    labels = {
        text.UnformattedTextValue
        for path in results.rglob("presentation_state_*.dcm")
        for text in pydicom.dcmread(path).GraphicAnnotationSequence[0].TextObjectSequence
    }
    assert "mass 1: probability 46%" in labels
    assert not any(": score" in label for label in labels)


@pytest.mark.parametrize("columns", [1, 3, 96])
def test_narrow_images_have_their_note(
    calibrated_predictions, phantom_studies, header_of, tmp_path, columns
):
    pixels = np.zeros((128, columns), np.uint16).tobytes()
    path = header_of(phantom_studies[0], Columns=columns, PixelData=pixels)
    images = (ScoredImage(path, ()),)
    options = ResultOptions(objects=("capture",))
    summary = write_results(
        replace(calibrated_predictions, images=images), tmp_path / "out", options
    )
    assert (summary.written, summary.problems) == (1, ())


def test_other_probabilities_have_other_identifiers(calibrated_predictions, predictions, tmp_path):
    other = replace(calibrated_predictions, calibration="Probabilities are calibrated on others.")
    uids = set()
    for index, each in enumerate((predictions, calibrated_predictions, other)):
        write_results(each, tmp_path / str(index))
        uids |= {pydicom.dcmread(path).SOPInstanceUID for path in tmp_path.rglob("*.dcm")}
    assert len(uids) == 3 * 20


def test_predictions_at_an_operating_point(phantom_studies, tmp_path):
    calibration = logistic_calibration(slope=0.5, threshold=0.6)
    images = images_of_files(phantom_studies[:2])
    options = PredictionOptions(overlays=False)
    folder = tmp_path / "predictions"
    predict_images(CenterDetector(), images, folder, options=options, calibration=calibration)
    read = read_predictions(folder)
    assert read.operating_threshold == 0.6
    assert read.calibration == (
        "Probabilities are calibrated on a set, where a score threshold of 0.6 has 0.3 false "
        "positives per image."
    )
    write_results(read, tmp_path / "out", ResultOptions(objects=("report",)))
    (path,) = tmp_path.rglob("measurement_report.dcm")
    values = [group.get_measurements(codes.DCM.CertaintyOfFinding)[0] for group in groups_of(path)]
    # the score is 0.75, and half its logit that of the probability
    assert [x.value for x in values] == pytest.approx([100 / (1 + 3**-0.5)] * 2, rel=1e-6)


def test_lists_of_detections(phantom_studies, tmp_path):
    weights, file = tmp_path / "model.pth", tmp_path / "detections.json"
    weights.write_bytes(b"weights")
    box = {"file_name": str(phantom_studies[0]), "bbox": [1, 2, 3, 4], "score": 0.5}

    def read(*records):
        file.write_text(json.dumps([box | record for record in records]))
        return read_detections_of_images(file, phantom_studies[:1], weights)

    assert read({}, {}).calibration is None
    calibrated = read({"probability": 0.25}, {"probability": 0})
    assert "does not tell what they are calibrated on" in calibrated.calibration
    assert [x.probability for x in calibrated.images[0].findings] == [0.25, 0]
    with pytest.raises(InputError, match="some detections have a probability and others"):
        read({"probability": 0.25}, {})
