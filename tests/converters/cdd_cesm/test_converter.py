import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spreadsheets import write_xlsx

from medmask.converters.cdd_cesm import read
from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.errors import InputError

SHEET = "Radiology-manual-annotations.xlsx"
REGIONS = "Radiology_hand_drawn_segmentations_v2.csv"
LOW = "CDD-CESM/Low energy images of CDD-CESM"
SUBTRACTED = "CDD-CESM/Subtracted images of CDD-CESM"
HEADER = [
    "Image_name",
    "Patient_ID",
    "Side",
    "Type",
    "Age",
    "Breast density (ACR)",
    "BIRADS",
    "Findings",
    "View",
    "Tags",
    "Machine",
    "Pathology Classification/ Follow up",
]
CIRCLE = {"name": "circle", "cx": 30, "cy": 40, "r": 10}
POLYGON = {"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 2, 8]}
IMAGES = {
    # name: (density, BI-RADS, pathology, regions)
    "P1_L_DM_MLO": ("C", "4$2", "Malignant", [POLYGON, CIRCLE]),
    "P1_L_CM_MLO": ("_", "4", "Malignant", [CIRCLE]),
    "P1_R_DM_CC": ("C", "1", "Normal", []),
    "P2_L_DM_CC": ("B", "2", "Benign", [{"name": "ellipse", "cx": 9, "cy": 9, "rx": 4, "ry": 2}]),
    "P2_R_DM_CC": ("B", "5", "Benign$Malignant", [CIRCLE]),
    "P3_L_DM_CC": ("B", "5", "Malignant", []),
    "P3_R_DM_CC": ("B", "5", "Malignant", [CIRCLE, {"name": "point", "cx": 3, "cy": 4}]),
    "P4_R_DM_MLO": ("B", "1", "Normal", [CIRCLE]),
}


@pytest.fixture
def raw(tmp_path) -> Path:
    rows = [
        # a space after the name, as in the published table; it stands for one row of two findings
        [
            f"{name} ",
            1,
            "L",
            "DM",
            44,
            density,
            birads,
            "mass$ distortion",
            "CC",
            None,
            "GE",
            pathology,
        ]
        for name, (density, birads, pathology, _) in IMAGES.items()
    ]
    write_xlsx(tmp_path / SHEET, {"all": [HEADER, *rows], "mass_description": [["x"]]})
    write_regions(tmp_path, {name: regions for name, (*_, regions) in IMAGES.items()})
    for name in IMAGES:
        path = tmp_path / (SUBTRACTED if "_CM_" in name else LOW) / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / LOW / "P1_R_DM_CC.jpg").rename(tmp_path / LOW / "P1_R_DM_CC .jpg")
    return tmp_path


def write_regions(raw: Path, regions: dict[str, list[dict]]) -> None:
    with (raw / REGIONS).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "#filename",
                "file_size",
                "file_attributes",
                "region_count",
                "region_id",
                "region_shape_attributes",
                "region_attributes",
            ]
        )
        for name, shapes in regions.items():
            for number, shape in enumerate(shapes or [{}]):
                fields = [len(shapes), number, json.dumps(shape), "{}"]
                writer.writerow([f"{name} .jpg", 100, "{}", *fields])


def test_images(raw):
    contents = read(raw)
    assert contents.problems == []
    assert contents.sources == [raw / SHEET, raw / REGIONS]
    images = {image.name: image for image in contents.images}
    assert set(images) == {"P1_L_DM_MLO", "P1_R_DM_CC", "P2_L_DM_CC", "P2_R_DM_CC"}
    image = images["P1_L_DM_MLO"]
    assert image.path == raw / LOW / "P1_L_DM_MLO.jpg"
    assert (image.patient_id, image.laterality, image.view) == ("P1", "L", "MLO")
    assert (image.density, image.birads, image.scanner) == ("C", "4", "GE")
    assert image.attributes == {"age": 44}
    normal = images["P1_R_DM_CC"]
    assert (normal.path.name, normal.malignant, normal.lesions) == ("P1_R_DM_CC .jpg", False, ())


def test_a_row_without_a_name_is_told_with_the_other_problems(raw):
    rows = [
        ["P1_R_DM_CC", "Normal"],
        [None, "Malignant"],
    ]
    write_xlsx(raw / SHEET, {"all": [[HEADER[0], HEADER[-1]], *rows]})
    write_regions(raw, {"P1_R_DM_CC": []})
    contents = read(raw)
    assert [image.name for image in contents.images] == ["P1_R_DM_CC"]
    (problem,) = contents.problems
    assert "line 3: its Image_name is empty" in problem


def test_lesions(raw):
    images = {image.name: image for image in read(raw).images}
    polygon, circle = images["P1_L_DM_MLO"].lesions
    assert polygon.outlines[0].tolist() == [[1, 2], [9, 2], [5, 8]]
    assert circle.outlines[0].min(0).tolist() == pytest.approx([20, 30])
    assert polygon.malignant
    assert polygon.attributes == {"findings": ["mass", "distortion"]}
    assert images["P2_L_DM_CC"].lesions[0].malignant is False


def test_region_of_unknown_pathology(raw):
    images = {image.name: image for image in read(raw).images}
    assert images["P2_R_DM_CC"].lesions[0].malignant is None
    assert images["P2_R_DM_CC"].malignant


def test_left_out(raw):
    assert {left.name: left.reason for left in read(raw).left_out} == {
        "P1_L_CM_MLO": "it is a subtracted image",
        "P3_L_DM_CC": "it has a finding, which is not outlined",
        "P3_R_DM_CC": "the extent of one of its findings is not told",
        "P4_R_DM_MLO": "it is called normal and has a region",
    }


def test_table_saved_as_csv(raw):
    (raw / SHEET).unlink()
    text = "Image_name,Pathology Classification/ Follow up\nP1_R_DM_CC,Normal\n"
    (raw / "Radiology_manual_annotations.csv").write_text(text)
    contents = read(raw)
    assert [image.name for image in contents.images] == ["P1_R_DM_CC"]
    assert "images of" in contents.problems[0]
    assert "the first is P1_L_DM_MLO" in contents.problems[0]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Normal", "Healthy", "is none of benign, malignant, normal"),
        ("P1_R_DM_CC", "X1_R_DM_CC", "is not such as P1_L_DM_MLO"),
    ],
)
def test_faulty_row(raw, old, new, fault):
    (raw / SHEET).unlink()
    text = "Image_name,Pathology Classification/ Follow up\nP1_R_DM_CC,Normal\n"
    (raw / "Radiology_manual_annotations.csv").write_text(text.replace(old, new))
    assert any(fault in problem for problem in read(raw).problems)


def test_faulty_region(raw):
    write_regions(raw, {"P1_L_DM_MLO": [{"name": "star"}, CIRCLE]})
    contents = read(raw)
    (problem,) = contents.problems
    assert "P1_L_DM_MLO" in {left.name for left in contents.left_out}
    assert "is no region: it is a 'star', which is no shape of VIA" in problem


def test_incomplete_downloads(raw):
    (raw / LOW / "P1_L_DM_MLO.jpg").unlink()
    (problem,) = read(raw).problems
    assert "1 low-energy image" in problem
    assert "the first is P1_L_DM_MLO.jpg; complete the download" in problem
    (raw / REGIONS).unlink()
    with pytest.raises(InputError, match=f"has no {REGIONS}"):
        read(raw)


def test_whole_conversion(raw, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 50), dtype=np.uint8)
    for path in raw.rglob("*.jpg"):
        Image.fromarray(noise).save(path, quality=95)

    report = convert("cdd_cesm", raw, tmp_path / "out", ConversionOptions())

    assert report.problems == []
    assert report.files["instances_all.json"] == (3, 2, 2, 1)
    assert report.files["instances_all_lesion.json"] == (4, 2, 4, 3)
    content = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    assert [a["bbox"] for a in content["annotations"]] == [[1, 2, 8, 6], [20, 30, 20, 20]]
    assert content["annotations"][0]["segmentation"] == [[1, 2, 9, 2, 5, 8]]
