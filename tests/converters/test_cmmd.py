import json
from pathlib import Path

import numpy as np
import pytest
from spreadsheets import write_xlsx

from medmask.converters.cmmd import CONVERTER, read
from medmask.converters.contract import MarkedLesions
from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.errors import InputError

TABLE = "CMMD_clinicaldata_revision.xlsx"
ROWS = [
    ["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"],
    ["D1-0001", "R", 44, 2, "calcification", "Benign", None],
    ["D2-0001", "L", 64, 2, "both", "Malignant", "Luminal B"],
]
CC, MLO = "399162004", "399368009"


@pytest.fixture
def add(write_dicom):
    from pydicom.dataset import Dataset

    def write(path: str, patient: str, side: str, view: str, **elements) -> None:
        code = Dataset()
        code.CodeValue = view
        elements = {
            "PatientID": patient,
            "ImageLaterality": side,
            "ViewCodeSequence": [code],
            "StudyDate": "20150101",
            "ImagerPixelSpacing": [0.094, 0.094],
        } | elements
        noise = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
        write_dicom(noise, name=f"raw/{path}", **elements)

    return write


@pytest.fixture
def raw(tmp_path, add) -> Path:
    series = "CMMD/{}/07-18-2010-NA-NA-79377/1.000000-NA-70244/{}.dcm"
    add(series.format("D1-0001", "1-1"), "D1-0001", "R", CC)
    add(series.format("D1-0001", "1-2"), "D1-0001", "R", "R-10226", StudyDate="19010101")
    add(series.format("D2-0001", "1-1"), "D2-0001", "L", CC, ImagerPixelSpacing=[0, 0])
    add(series.format("D2-0001", "1-2"), "D2-0001", "R", MLO)
    add(series.format("D2-0001", "1-3"), "D2-0001", "R", MLO)
    write_xlsx(tmp_path / "raw" / TABLE, {"Sheet1": ROWS})
    return tmp_path / "raw"


def test_images(raw):
    contents = read(raw)
    assert contents.problems == []
    assert contents.left_out == []
    images = {image.name: image for image in contents.images}
    assert {name: image.malignant for name, image in images.items()} == {
        "D1-0001_R_CC": False,
        "D1-0001_R_MLO": False,
        "D2-0001_L_CC": True,
        "D2-0001_R_MLO": None,
        "D2-0001_R_MLO_2": None,
    }
    image = images["D1-0001_R_CC"]
    assert (image.patient_id, image.laterality, image.view) == ("D1-0001", "R", "CC")
    assert image.study_date == "2015"
    assert image.attributes == {"age": 44, "abnormality": "calcification"}
    assert images["D1-0001_R_MLO"].study_date is None
    assert images["D2-0001_L_CC"].attributes["subtype"] == "Luminal B"
    assert all(image.lesions == () for image in contents.images)
    assert CONVERTER.marked is MarkedLesions.NONE


def test_table_saved_as_csv(raw):
    (raw / TABLE).unlink()
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in ROWS]
    (raw / "CMMD_clinicaldata_revision.csv").write_text("\n".join(lines))
    assert len(read(raw).images) == 5


def test_rows_of_one_breast_that_contradict_each_other(raw):
    malignant = ["D1-0001", "R", 44, 2, "mass", "Malignant", None]
    same = ["D2-0001", "L", 64, 2, "mass", "malignant", None]
    write_xlsx(raw / TABLE, {"Sheet1": [*ROWS, malignant, same]})
    contents = read(raw)
    (problem,) = contents.problems
    assert "line 4: its classification 'Malignant' is not that of line 2" in problem
    images = {image.name: image for image in contents.images}
    assert images["D1-0001_R_CC"].malignant is None
    assert images["D2-0001_L_CC"].malignant is True


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"patient": "X-1"}, "is no patient of CMMD"),
        ({"side": "B"}, "must be L or R"),
        ({"view": "123"}, "must be that of a CC or an MLO view"),
    ],
    ids=["patient", "side", "view"],
)
def test_faulty_header(raw, add, change, fault):
    add("CMMD/D1-0001/odd.dcm", **({"patient": "D1-0001", "side": "L", "view": CC} | change))
    contents = read(raw)
    (problem,) = contents.problems
    assert fault in problem
    (left,) = contents.left_out
    assert left.name == "CMMD/D1-0001/odd.dcm"
    assert len(contents.images) == 5


def test_incomplete_downloads(raw):
    for path in (raw / "CMMD/D2-0001").rglob("*.dcm"):
        path.unlink()
    (problem,) = read(raw).problems
    assert "1 patient of" in problem
    assert "the first is D2-0001" in problem
    (raw / TABLE).unlink()
    with pytest.raises(InputError, match=f"has no {TABLE}"):
        read(raw)


def test_no_images(tmp_path):
    write_xlsx(tmp_path / TABLE, {"Sheet1": ROWS})
    with pytest.raises(InputError, match=r"has no files that end with \.dcm"):
        read(tmp_path)


def test_whole_conversion(raw, tmp_path):
    report = convert("cmmd", raw, tmp_path / "out", ConversionOptions())
    assert report.problems == []
    assert report.files["instances_all.json"] == (5, 2, 0, 0)
    content = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    assert [image["malignant"] for image in content["images"][:3]] == [False, False, True]
    spacings = [image.get("pixel_spacing_mm") for image in content["images"][:3]]
    assert spacings == [0.094, 0.094, None]  # a spacing of 0 stands for "not known"
