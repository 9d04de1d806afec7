"""From DICOM files to DICOM results, as a user runs both tools."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_phantoms import make_dicom_phantoms
from fresh_runs import write_fresh_run

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from highdicom import sr
from pydicom.sr.codedict import codes

CONFIG = Path(__file__).parents[2] / "configs" / "medmask" / "phantom" / "source_only.py"
THRESHOLD = 0.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Fresh weights, whose boxes are anywhere."""
    return write_fresh_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_dicom_phantoms(root, 2)
    return root


def boxes_of_report(path):
    found = []
    for group in sr.srread(path).content.get_planar_roi_measurement_groups():
        points = group.roi.value
        (measurement,) = group.get_measurements(codes.DCM.CertaintyOfFinding)
        source = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        uid = str(source.ReferencedSOPInstanceUID)
        found.append((uid, *points.min(axis=0), *points.max(axis=0), measurement.value / 100))
    return found


def test_predictions_become_reports(run_tool, checkpoint, images, tmp_path):
    predicted = run_tool(
        "predict.py", images, "--output", tmp_path / "p", "--checkpoint", checkpoint,
        "--device", "cpu", "--no-overlays",
    )  # fmt: skip
    assert predicted.returncode == 0, predicted.stderr
    detections = json.loads((tmp_path / "p" / "detections.json").read_text())
    options = ("--score-threshold", THRESHOLD, "--objects", "report", "cad")
    done = run_tool("dicom_results.py", tmp_path / "p", "--output", tmp_path / "a", *options)
    assert done.returncode == 0, done.stderr
    assert "1 study: 2 objects written" in done.stdout

    (report,) = (tmp_path / "a").rglob("measurement_report.dcm")
    found = np.array(sorted(boxes_of_report(report)), dtype=object)
    wanted = []
    for record in detections:
        uid = str(pydicom.dcmread(record["file_name"], stop_before_pixels=True).SOPInstanceUID)
        x, y, width, height = record["bbox"]
        box = np.clip([x, y, x + width, y + height], 0, [96, 128, 96, 128])
        wanted.append((uid, *box, record["score"]))
    wanted = np.array(sorted(wanted), dtype=object)
    assert len(wanted) > 10
    assert (found[:, 0] == wanted[:, 0]).all()
    order = [np.lexsort((rows[:, 5].astype(float), rows[:, 0])) for rows in (found, wanted)]
    np.testing.assert_allclose(
        found[order[0], 1:].astype(float), wanted[order[1], 1:].astype(float), atol=1e-4
    )

    # the same from the list of detections alone
    done = run_tool(
        "dicom_results.py", tmp_path / "p" / "detections.json", images,
        "--checkpoint", checkpoint, "--output", tmp_path / "b", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (other,) = (tmp_path / "b").rglob("measurement_report.dcm")
    first, second = (pydicom.dcmread(path) for path in (report, other))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert first.ContentSequence == second.ContentSequence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent"], "does not exist"),
        (["."], "holds no predictions.jsonl"),
        ([".", "x.dcm"], "tells the images and the weights"),
        (["README.md"], "tells neither all images nor the weights"),
    ],
    ids=["absent", "empty", "both", "file alone"],
)
def test_refusals(run_tool, tmp_path, arguments, words):
    done = run_tool("dicom_results.py", *arguments, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
