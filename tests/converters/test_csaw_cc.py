import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmask.converters.csaw_cc import read
from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.errors import InputError

TABLE = "CSAW-CC_breast_cancer_screening_data.csv"
OLD_TABLE = "anon_dataset_nonhidden_211125.csv"
HEADER = (
    "anon_patientid,exam_year,x_age,x_case,x_cancer_laterality,x_type,rad_timing,imagelaterality,"
    "viewposition,libra_percentdensity,anon_filename"
)
ROWS = [
    # a patient with cancer on the left: marked, marked by one pixel, not marked, prior, other side
    "75,2012,1,1,Left,2,1.0,Left,CC,20.5,00075_20990909_L_CC_1.dcm",
    "75,2012,1,1,Left,2,1.0,Left,MLO,20.5,00075_20990909_L_MLO_1.dcm",
    "75,2012,1,1,Left,2,2,Left,MLO,,00075_20990909_L_MLO_2.dcm",
    "75,2008,1,1,Left,2,3,Left,CC,,00075_20990909_L_CC_3.dcm",
    "75,2012,1,1,Left,2,1.0,Right,CC,,00075_20990909_R_CC_1.dcm",
    # a control, of which R wrote NA for the side
    "00080,2010,2,0,NA,,,Right,MLO,7.1,00080_20990909_R_MLO_1.dcm",
    # cancer on a side that is not told
    "00090,2010,2,1,,3,1,Right,MLO,7.1,00090_20990909_R_MLO_1.dcm",
    # an image whose own side is not told, of a patient with cancer
    "00091,2010,2,1,Left,3,1,,MLO,7.1,00091_20990909_X_MLO_1.dcm",
]


@pytest.fixture
def raw(tmp_path) -> Path:
    (tmp_path / TABLE).write_text("\n".join([HEADER, *ROWS]) + "\n")
    for number, row in enumerate(ROWS):
        folder = tmp_path / f"Batch_{number % 2 + 1}"
        folder.mkdir(exist_ok=True)
        (folder / row.split(",")[-1]).touch()
    (tmp_path / "anon_annotations_nonhidden").mkdir()
    write_mask(tmp_path, "00075_20990909_L_CC_1", [(5, 5, 9, 9), (20, 20, 24, 23)])
    write_mask(tmp_path, "00075_20990909_L_MLO_1", [(5, 5, 6, 6)])
    return tmp_path


def write_mask(raw: Path, stem: str, boxes: list[tuple[int, int, int, int]]) -> Path:
    mask = np.zeros((40, 30), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 255
    path = raw / "anon_annotations_nonhidden" / f"{stem}_mask.png"
    Image.fromarray(mask).save(path)
    return path


def test_images(raw):
    contents = read(raw)
    assert contents.problems == []
    assert contents.sources == [raw / TABLE]
    images = {image.name: image for image in contents.images}
    assert set(images) == {
        "00075_20990909_L_CC_1",
        "00075_20990909_R_CC_1",
        "00080_20990909_R_MLO_1",
    }
    cancer = images["00075_20990909_L_CC_1"]
    assert cancer.path == raw / "Batch_1" / "00075_20990909_L_CC_1.dcm"
    assert (cancer.patient_id, cancer.study_date, cancer.laterality, cancer.view) == (
        "75",
        "2012",
        "L",
        "CC",
    )
    assert cancer.malignant
    assert cancer.attributes == {
        "timing": "screen-detected",
        "age_group": "1",
        "cancer_type": "2",
        "percent_density": 20.5,
    }
    (lesion,) = cancer.lesions
    assert lesion.mask == raw / "anon_annotations_nonhidden/00075_20990909_L_CC_1_mask.png"
    assert (lesion.malignant, lesion.is_split) == (True, True)


def test_negative_images(raw):
    images = {image.name: image for image in read(raw).images}
    for name in ("00075_20990909_R_CC_1", "00080_20990909_R_MLO_1"):
        assert images[name].malignant is False
        assert images[name].lesions == ()


def test_cancer_that_is_not_marked_is_left_out(raw):
    assert {left.name: left.reason for left in read(raw).left_out} == {
        "00075_20990909_L_MLO_1": "its breast has cancer (screen-detected), which is not marked",
        "00075_20990909_L_MLO_2": "its breast has cancer (interval), which is not marked",
        "00075_20990909_L_CC_3": "its breast has cancer (prior), which is not marked",
        "00090_20990909_R_MLO_1": "its side, or that of its patient's cancer, is not told",
        "00091_20990909_X_MLO_1": "its side, or that of its patient's cancer, is not told",
    }


def test_older_table(raw):
    text = (raw / TABLE).read_text().replace(",", ";")
    (raw / TABLE).unlink()
    (raw / OLD_TABLE).write_text(text)
    assert len(read(raw).images) == 3


def test_a_patient_of_whom_nothing_is_told_is_not_healthy(raw):
    text = (raw / TABLE).read_text()
    (raw / TABLE).write_text(text.replace("00080,2010,2,0,", "00080,2010,2,,"))
    contents = read(raw)
    assert "00080_20990909_R_MLO_1" not in {image.name for image in contents.images}
    (problem,) = contents.problems
    assert "line 7: its x_case is empty" in problem


def test_contradictions(raw):
    write_mask(raw, "00080_20990909_R_MLO_1", [(5, 5, 9, 9)])
    write_mask(raw, "00099_20990909_R_MLO_1", [(5, 5, 9, 9)])
    contents = read(raw)
    assert "00080_20990909_R_MLO_1" not in {image.name for image in contents.images}
    marked, unknown = contents.problems
    assert "line 7 says that there is none in this breast" in marked
    assert "1 mask belongs to no image" in unknown


def test_damaged_mask(raw):
    mask = raw / "anon_annotations_nonhidden/00075_20990909_L_CC_1_mask.png"
    mask.write_bytes(mask.read_bytes()[:60])
    (problem,) = read(raw).problems
    assert f"mask {mask} cannot be read" in problem


def test_mask_whose_suffix_is_in_capitals(raw):
    mask = raw / "anon_annotations_nonhidden/00075_20990909_L_CC_1_mask.png"
    mask.rename(mask.with_suffix(".PNG"))
    contents = read(raw)
    assert "00075_20990909_L_CC_1" in {image.name for image in contents.images}


def test_incomplete_downloads(raw):
    (raw / "Batch_1" / "00075_20990909_L_CC_1.dcm").unlink()
    contents = read(raw)
    (problem,) = contents.problems
    assert "1 image of" in problem
    assert "the first is 00075_20990909_L_CC_1.dcm" in problem
    (raw / TABLE).unlink()
    with pytest.raises(InputError, match=f"has no {TABLE} or {OLD_TABLE}"):
        read(raw)


def test_whole_conversion(raw, tmp_path, write_dicom):
    """The mask, which is smaller than the image, holds two tumors."""
    noise = np.random.default_rng(0).integers(0, 4096, (80, 60), dtype=np.uint16)
    for path in raw.rglob("*.dcm"):
        write_dicom(noise, name=str(path.relative_to(tmp_path)), BitsStored=12)

    report = convert("csaw_cc", raw, tmp_path / "out", ConversionOptions())

    assert report.problems == []
    assert report.files["instances_all.json"] == (3, 2, 2, 1)
    content = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    assert [a["bbox"] for a in content["annotations"]] == [[10, 10, 8, 8], [40, 40, 8, 6]]
