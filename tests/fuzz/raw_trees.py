"""Raw downloads in miniature, sound ones, for campaigns to damage their index files."""

import json
import plistlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cbis_ddsm_tree import table_text
from image_files import GRAY, Elements, dicom_file, radiograph
from PIL import Image
from raw_tables import write_csv
from spreadsheets import write_xlsx

_INDEX_SUFFIXES = (".csv", ".json", ".txt", ".xlsx", ".xml", ".ics", ".OVERLAY")


def find_indexes(name: str, raw: Path) -> list[Path]:
    """The files that tell what a download holds; of a folder of DICOM, the images themselves."""
    suffixes = (".dcm",) if name == "dicom_folder" else _INDEX_SUFFIXES
    return sorted(path for path in raw.rglob("*") if path.suffix in suffixes)


def mammogram(instance: int = 1) -> Elements:
    """A radiograph whose header tells the patient, the side, the view and the spacing."""
    return radiograph() | {
        0x00080018: ("UI", f"1.2.{instance}".encode()),
        0x00080020: ("DA", b"20150416"),
        0x00080070: ("LO", b"ACME"),
        0x00081090: ("LO", b"Model 1"),
        0x00100020: ("LO", b"patient 1"),
        0x00181164: ("DS", b"0.07\\0.07"),
        0x00185101: ("CS", b"MLO"),
        0x00200062: ("CS", b"L"),
    }


def _write_dicom(path: Path, elements: Elements | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dicom_file(elements or radiograph()))


def _rsna_row(patient: int, image: int) -> dict[str, Any]:
    row = {"site_id": 1, "patient_id": patient, "image_id": image, "laterality": "LR"[image % 2]}
    row |= {"view": "CC", "age": 61.0, "cancer": image % 2, "biopsy": 0, "invasive": 0}
    return row | {"BIRADS": 0.0, "implant": 0, "density": "B", "machine_id": 29}


def _rsna(raw: Path) -> None:
    rows = [_rsna_row(patient, image) for patient, image in ((1, 11), (1, 12), (2, 21))]
    write_csv(raw / "train.csv", *rows)
    for row in rows:
        _write_dicom(raw / f"train_images/{row['patient_id']}/{row['image_id']}.dcm")


def _rsna_bsd1k(raw: Path) -> None:
    write_csv(raw / "train.csv", _rsna_row(1, 11), _rsna_row(2, 21))
    for split, names in (("train", ["1_11", "2_21"]), ("val", ["3_31", "4_41"])):
        images = [
            {"id": number, "file_name": f"{name}.png", "width": "28", "height": 40}
            for number, name in enumerate(names)
        ]
        boxes = [[3, 4, 5, 6], [0, 1.5, 20, 30], ["2", "2", "9", "9"]]
        content = {
            "images": images,
            "annotations": [
                {"id": number, "image_id": number % 2, "category_id": 1, "bbox": box}
                for number, box in enumerate(boxes)
            ],
            "categories": [{"id": 1, "name": "mal"}],
        }
        for image in images:
            path = raw / "images" / split / image["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(GRAY).save(path)
        path = raw / f"annotations/instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))


def _coco_tree(raw: Path) -> None:
    (raw / "images").mkdir(parents=True)
    (raw / "annotations").mkdir()
    images = [
        {
            **{"id": number, "file_name": f"{number}.png", "width": 28, "height": 40},
            **{"patient_id": f"p{number}", "laterality": "L", "pixel_spacing_mm": 0.1},
        }
        for number in range(3)
    ]
    outline = [3.5, 4, 8, 4, 8, 10]
    annotations = [
        {"id": 1, "image_id": 0, "category_id": 2, "bbox": [3, 4, 5, 6], "malignant": True},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [3, 4, 5, 6], "segmentation": [outline]},
    ]
    categories = [{"id": 1, "name": "benign"}, {"id": 2, "name": "mass"}]
    for name, numbers in (("all", (0, 1, 2)), ("train", (0,)), ("test", (1, 2))):
        content = {
            "images": [images[number] for number in numbers],
            "annotations": [each for each in annotations if each["image_id"] in numbers],
            "categories": categories,
        }
        (raw / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    for image in images:
        Image.fromarray(GRAY).save(raw / "images" / image["file_name"])


def _vindr_mammo(raw: Path) -> None:
    breasts = [
        {
            **{"study_id": "e1", "image_id": image, "laterality": "L", "view_position": "CC"},
            **{"height": 40, "width": 28, "breast_birads": "BI-RADS 4"},
            **{"breast_density": "DENSITY C", "split": split},
        }
        for image, split in (("a", "training"), ("b", "training"), ("c", "test"))
    ]
    findings = [
        {
            **breasts[0],
            "finding_categories": "['Mass', 'Asymmetry']",
            "finding_birads": "BI-RADS 4",
        },
        *(
            {**breast, "finding_categories": "['No Finding']", "finding_birads": None}
            for breast in breasts[1:]
        ),
    ]
    for finding, box in zip(findings, ((1.5, 2, 20, 30), *[(None,) * 4] * 2), strict=True):
        finding |= dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    write_csv(raw / "breast-level_annotations.csv", *breasts)
    write_csv(raw / "finding_annotations.csv", *findings)
    for row in breasts:
        _write_dicom(raw / f"images/e1/{row['image_id']}.dicom")


def _embed(raw: Path) -> None:
    images = [
        {
            **{"empi_anon": 1, "acc_anon": 2, "anon_dicom_path": f"/mnt/x/cohort_1/1/2/{name}.dcm"},
            **{"FinalImageType": kind, "ImageLateralityFinal": "R", "ViewPosition": "CC"},
            **{"ROI_coords": regions, "spot_mag": None, "study_date_anon": "2015-04-16 00:00:00"},
        }
        for name, kind, regions in (
            ("a", "2D", "((1, 2, 30, 20), (5, 5, 9, 9))"),
            ("b", "2D", "()"),
            ("c", "cview", "()"),
        )
    ]
    finding = {"empi_anon": 1, "acc_anon": 2, "side": "R", "asses": "S", "tissueden": 2}
    write_csv(raw / "tables/EMBED_OpenData_metadata.csv", *images)
    write_csv(
        raw / "tables/EMBED_OpenData_clinical.csv",
        {**finding, "path_severity": 1.0, "bside": "R", "massshape": "X", "calcfind": None},
        {**finding, "path_severity": None, "bside": None, "massshape": None, "calcfind": "F"},
    )
    for row in images:
        _write_dicom(raw / f"images/cohort_1/1/2/{row['anon_dicom_path'][-5:]}")


def _mini_mias(raw: Path) -> None:
    lines = ["mdb001 G CIRC B 535 425 197", "mdb002 F CALC M 300 200 50", "mdb003 D NORM"]
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "Info.txt").write_text("\n".join(lines) + "\n")
    for number in (1, 2, 3):
        (raw / f"mdb{number:03d}.pgm").write_bytes(b"P5 4 4 255\n" + bytes(16))


def _cbis_ddsm(raw: Path) -> None:
    for kind, name in (("mass", "Mass"), ("calc", "Calc")):
        for split, part in (("train", "Training"), ("test", "Test")):
            folder = f"{name}-{part}_P_0000{len(kind + split)}_LEFT_CC"
            table = raw / f"{kind}_case_description_{split}_set.csv"
            raw.mkdir(parents=True, exist_ok=True)
            table.write_text(table_text(kind, [{"folder": folder, "pathology": "MALIGNANT"}]))
            _write_dicom(raw / f"{folder}/1.1.1/1.2.1/000000.dcm")


def _csaw_cc(raw: Path) -> None:
    rows = [
        {
            **{"anon_patientid": 75, "anon_filename": f"00075_20990909_{side}_CC_1.dcm"},
            **{"x_case": 1, "x_cancer_laterality": "Left", "rad_timing": 1},
            **{"imagelaterality": name, "viewposition": "CC"},
        }
        for side, name in (("L", "Left"), ("R", "Right"))
    ]
    write_csv(raw / "CSAW-CC_breast_cancer_screening_data.csv", *rows)
    for row in rows:
        _write_dicom(raw / row["anon_filename"])


def _cmmd(raw: Path) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    header = ["ID1", "LeftRight", "Age", "abnormality", "classification", "subtype"]
    row = ["D1-0001", "L", 44, "mass", "Malignant", None]
    write_xlsx(raw / "CMMD_clinicaldata_revision.xlsx", {"Sheet1": [header, row]})
    _write_dicom(raw / "CMMD/D1-0001/1-1.dcm")


def _inbreast(raw: Path) -> None:
    rows = [
        {
            **{"Patient ID": "removed", "Patient age": "removed", "Laterality": "L", "View": "ML"},
            **{"Acquisition date": 201001, "File Name": number, "ACR": 2, "Bi-Rads": birads},
        }
        for number, birads in ((101, "1"), (102, "4a"), (103, "2"))
    ]
    outlines = {
        102: [("Mass", [(3, 4), (20, 5.5), (9, 30)]), ("Calcification", [(7, 8)])],
        103: [("Cluster", [(1, 1), (5, 1), (5, 9), (1, 9)]), ("Point 1", [(2.25, 3)])],
    }
    write_csv(raw / "INbreast.csv", *rows, delimiter=";")
    for row in rows:
        name = f"{row['File Name']}_e634830794f5c1bd_MG_L_ML_ANON.dcm"
        _write_dicom(raw / "AllDICOMs" / name)
    (raw / "AllXML").mkdir()
    for number, regions in outlines.items():
        rois = [
            {
                "Name": kind,
                "NumberOfPoints": len(points),
                "Point_px": [f"({x}, {y})" for x, y in points],
            }
            for kind, points in regions
        ]
        content = {"Images": [{"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": rois}]}
        (raw / f"AllXML/{number}.xml").write_bytes(plistlib.dumps(content))


def _ddsm(raw: Path) -> None:
    folder = raw / "cases/cancers/cancer_08/case1509"
    folder.mkdir(parents=True)
    lines = [
        *("ics_version 1.0", "filename C-1509-1", "DATE_OF_STUDY 2 7 1995", "PATIENT_AGE 42"),
        *("FILM ", "DENSITY 4", "DIGITIZER LUMISYS LASER", "SEQUENCE"),
        "LEFT_CC LINES 30 PIXELS_PER_LINE 20 BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY",
        "RIGHT_CC LINES 30 PIXELS_PER_LINE 20 BITS_PER_PIXEL 12 RESOLUTION 50 NON_OVERLAY",
    ]
    (folder / "C-1509-1.ics").write_text("\n".join(lines) + "\n")
    lines = ["TOTAL_ABNORMALITIES 2"]
    for number, pathology in ((1, "MALIGNANT"), (2, "BENIGN")):
        lines += [
            *(f"ABNORMALITY {number}", "LESION_TYPE MASS SHAPE OVAL MARGINS SPICULATED"),
            *("ASSESSMENT 4", "SUBTLETY 2", f"PATHOLOGY {pathology}", "TOTAL_OUTLINES 2"),
            *("BOUNDARY", "5 6 2 2 2 4 4 4 6 6 6 0 0 0 #", "\tCORE", "6 7 2 4 6 0 #"),
        ]
    (folder / "C_1509_1.LEFT_CC.OVERLAY").write_text("\n".join(lines) + "\n")
    for side in ("LEFT", "RIGHT"):
        (folder / f"C_1509_1.{side}_CC.LJPEG.1").write_bytes(bytes(2 * 30 * 20))


def _cdd_cesm(raw: Path) -> None:
    header = ["Image_name", "Age", "Breast density (ACR)", "BIRADS", "Findings", "Machine"]
    header.append("Pathology Classification/ Follow up")
    shapes = {
        "P1_L_DM_MLO": {"name": "circle", "cx": 14, "cy": 20, "r": 5},
        "P1_L_CM_MLO": {"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 2, 8]},
        "P2_R_DM_CC": {"name": "ellipse", "cx": 9, "cy": 9, "rx": 4, "ry": 2, "theta": 0.5},
        "P3_R_DM_CC": {},
    }
    rows = [
        [f"{name} ", 44, "C", "4$2", "mass$ distortion", "GE", "Malignant" if shape else "Normal"]
        for name, shape in shapes.items()
    ]
    raw.mkdir(parents=True, exist_ok=True)
    write_xlsx(raw / "Radiology-manual-annotations.xlsx", {"all": [header, *rows]})
    write_csv(
        raw / "Radiology_hand_drawn_segmentations_v2.csv",
        *(
            {"#filename": f"{name} .jpg", "region_shape_attributes": json.dumps(shape)}
            for name, shape in shapes.items()
        ),
    )
    for name in shapes:
        Image.fromarray(GRAY).save(raw / f"{name}.jpg")


def _dicom_folder(raw: Path) -> None:
    for instance in (1, 2):
        _write_dicom(raw / f"case{instance}/a.dcm", mammogram(instance))


RAW_TREES: dict[str, Callable[[Path], None]] = {
    "cbis_ddsm": _cbis_ddsm,
    "cdd_cesm": _cdd_cesm,
    "cmmd": _cmmd,
    "coco_tree": _coco_tree,
    "csaw_cc": _csaw_cc,
    "ddsm": _ddsm,
    "dicom_folder": _dicom_folder,
    "embed": _embed,
    "inbreast": _inbreast,
    "mini_mias": _mini_mias,
    "rsna": _rsna,
    "rsna_bsd1k": _rsna_bsd1k,
    "vindr_mammo": _vindr_mammo,
}
"""Writers of a sound raw tree by the name of the converter."""
