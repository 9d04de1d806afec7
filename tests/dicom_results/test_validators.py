"""DICOM results before the validators of others, where they are found."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from medmask.dicom_results import write_results


@pytest.fixture(scope="module", params=["scores", "probabilities"])
def objects(request, predictions, calibrated_predictions, tmp_path_factory):
    """Files of all kinds, without a calibration and with one."""
    folder = tmp_path_factory.mktemp(request.param)
    write_results(predictions if request.param == "scores" else calibrated_predictions, folder)
    return sorted(folder.rglob("*.dcm"))


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not found")
def test_objects_are_valid_by_dciodvfy(objects):
    kinds = set()
    for path in objects:
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
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


def test_objects_are_valid_by_dicom_validator(objects):
    """It needs the text of the standard, which it keeps in a folder of the user."""
    standard = Path.home() / "dicom-validator"
    if shutil.which("validate_iods") is None or not standard.is_dir():
        pytest.skip("dicom-validator, or the standard that it reads, is not found")
    done = subprocess.run(
        ["validate_iods", "--edition", "local", *map(str, objects)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
