"""Phantom studies as DICOM, with findings placed by hand, and their results."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pydicom
import pytest
from dicom_phantoms import make_dicom_phantoms

from medmask.dicom_results.predictions import Finding, Predictions, ScoredImage

WEIGHTS = "0123456789abcdef"
MADE = datetime(2026, 1, 2, 3, 4, 5)
CATEGORIES = ("calcification", "malignant lesion", "mass")
FINDINGS = (
    Finding((10.25, 20.5, 40.75, 61.125), 0.91234567, "mass"),
    Finding((0.0, 0.0, 96.0, 128.0), 0.5, "calcification"),
    Finding((70.0, 90.0, 95.5, 127.9), 0.30, "malignant lesion"),
    Finding((5.0, 5.0, 9.0, 9.0), 0.1, "mass"),  # below the threshold
)


def number_of(path: Path) -> int:
    """How many findings an image has at the usual threshold of 0.3."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    return {"L": 3, "R": 1}[header.ImageLaterality] if header.ViewPosition == "MLO" else 0


def scored(path: Path) -> ScoredImage:
    count = number_of(path)
    return ScoredImage(path, (*FINDINGS[:count], FINDINGS[-1]))


@pytest.fixture(scope="session")
def phantom_studies(tmp_path_factory) -> list[Path]:
    """8 images of two patients, both sides and views, of 96 x 128 pixels and 12 bits."""
    return make_dicom_phantoms(tmp_path_factory.mktemp("studies"), 8)


@pytest.fixture(scope="session")
def predictions(phantom_studies) -> Predictions:
    """Findings in the MLO views of the first study; the second has none."""
    first, second = phantom_studies[:4], phantom_studies[4:]
    without = [ScoredImage(path, FINDINGS[-1:]) for path in second]
    return Predictions(WEIGHTS, MADE, (*map(scored, first), *without), categories=CATEGORIES)


@pytest.fixture(scope="session")
def calibrated_predictions(predictions) -> Predictions:
    """The same findings; each has half its score as its probability."""
    images = [
        replace(x, findings=tuple(replace(f, probability=f.score / 2) for f in x.findings))
        for x in predictions.images
    ]
    sentence = "Probabilities are calibrated on a set."
    return replace(predictions, images=tuple(images), calibration=sentence)


@pytest.fixture
def header_of(tmp_path):
    """Writes a copy of an image with elements changed, or removed where the value is None."""

    def change(source: Path, name: str = "changed.dcm", **elements: object) -> Path:
        dataset = pydicom.dcmread(source)
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        path = tmp_path / name
        dataset.save_as(path)
        return path

    return change
