"""Phantom mammograms as DICOM with detections placed by hand, and what a tool makes of them."""

import copy
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dicom_phantoms import make_dicom_phantoms

from medmask.annotation import ExportOptions, export_annotations
from medmask.annotation.exporting import TASKS
from medmask.annotation.manifest import MANIFEST, SHARED, Manifest, read_manifest
from medmask.dicom_results.predictions import Finding, Predictions, ScoredImage

FINDINGS = (
    Finding((10.25, 20.5, 40.75, 61.125), 0.91234567, "malignant"),
    Finding((50.0, 70.0, 97.0, 128.5), 0.5, "malignant"),  # reaches out, as rounding makes it
    Finding((5.0, 5.0, 9.0, 9.0), 0.1, "malignant"),  # below the threshold
)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> list[Path]:
    """8 DICOM images of two patients, of 96 x 128 pixels (width x height) and 12 bits."""
    return make_dicom_phantoms(tmp_path_factory.mktemp("studies"), 8)


@pytest.fixture(scope="session")
def predictions(phantoms) -> Predictions:
    """Three findings, one below the usual threshold, on the first image, two on the second ..."""
    images = tuple(
        ScoredImage(path, FINDINGS[number:], str(path)) for number, path in enumerate(phantoms[:4])
    )
    return Predictions("0123456789abcdef", datetime(2026, 1, 2), images, (), ("malignant",))


class Export:
    """An export that tests read, and change as a tool and a reader do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def shared(self) -> Path:
        return self.folder / SHARED

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.folder / MANIFEST)

    @property
    def names(self) -> list[str]:
        return [image.name for image in self.manifest.images]

    def tasks(self) -> list[dict[str, Any]]:
        return json.loads((self.shared / TASKS).read_text())

    def submit_all(self) -> list[dict[str, Any]]:
        """Label Studio's export after a reader has submitted every task as it was proposed."""
        return [submitted(task, number) for number, task in enumerate(self.tasks(), start=1)]

    def write(self, content: Any, name: str = "export.json") -> Path:
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path


def submitted(task: dict[str, Any], number: int) -> dict[str, Any]:
    """A task as Label Studio exports it."""
    predictions = task.get("predictions", [])
    result = copy.deepcopy(predictions[0]["result"]) if predictions else []
    for region in result:
        region.pop("score")
    annotation = {
        "id": 100 + number,
        "completed_by": 1,
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
    }
    return {
        "id": number,
        "annotations": [annotation],
        "drafts": [],
        "predictions": predictions,
        "data": task["data"],
        "project": 1,
    }


@pytest.fixture
def make_export(tmp_path, predictions):
    """Writes an export of the predictions; keywords are options."""

    def make(
        name: str = "export", predictions: Predictions = predictions, **options: Any
    ) -> Export:
        export_annotations(predictions, tmp_path / name, ExportOptions(**options))
        return Export(tmp_path / name)

    return make


@pytest.fixture
def export(make_export) -> Export:
    return make_export()
