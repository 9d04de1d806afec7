"""VinDr-Mammo: 5,000 exams of four views, with boxes of findings and BI-RADS of each.

``breast-level_annotations.csv`` has a row for every image, ``finding_annotations.csv`` one for
every finding, and one for every image without any. Findings of the skin, the nipple and the lymph
nodes have no BI-RADS and are no lesions here. Benign findings (BI-RADS 2) have no box, so that only
breasts of BI-RADS 1 are known to show no lesion. ``metadata.csv``, where it is there, tells what
the headers of the files say; of it the scanner is read. The release tells exams apart, not
patients: an exam is taken as a patient.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.list_cells import read_names
from medmask.converters.problems import (
    check_size,
    collect,
    leave_out_if_faulty,
    missing_files,
)
from medmask.converters.raw_files import find_file
from medmask.converters.tables import Row, read_table
from medmask.utils.counts import counted

_LESIONS = (
    *("Mass", "Suspicious Calcification", "Architectural Distortion"),
    *("Asymmetry", "Focal Asymmetry", "Global Asymmetry"),
)
_OTHER_FINDINGS = (
    *("Skin Thickening", "Skin Retraction", "Nipple Retraction", "Suspicious Lymph Node"),
    "No Finding",
)
_BREAST_COLUMNS = (
    *("study_id", "image_id", "laterality", "view_position", "height", "width"),
    *("breast_birads", "breast_density", "split"),
)
_FINDING_COLUMNS = (
    *("image_id", "finding_categories", "finding_birads"),
    *("xmin", "ymin", "xmax", "ymax"),
)
_METADATA = "metadata.csv"
_MAKER, _MODEL = "Manufacturer", "Manufacturer's Model Name"
_SIDES = {"l": "L", "r": "R"}
_DENSITIES = {f"density {letter.lower()}": letter for letter in "ABCD"}
_BIRADS = {f"bi-rads {number}": str(number) for number in range(7)}
_NEGATIVE_BIRADS = "1"
_MALIGNANT_BIRADS = ("4", "5", "6")
_SPLITS = {"training": "train", "test": "test"}
_SUFFIXES = (".dicom", ".dcm")


def read(raw: Path) -> Contents:
    """List the images of ``breast-level_annotations.csv`` with their findings."""
    breasts = find_file(raw, "breast-level_annotations.csv")
    findings = find_file(raw, "finding_annotations.csv")
    contents = Contents(sources=[breasts, findings])
    of_image: dict[str, list[Row]] = defaultdict(list)
    for row in read_table(findings, _FINDING_COLUMNS):
        with collect(contents.problems):
            of_image[row.identifier("image_id")].append(row)
    scanners = _read_scanners(raw / _METADATA, contents)
    missing: list[Path] = []
    for row in read_table(breasts, _BREAST_COLUMNS):
        with leave_out_if_faulty(contents, row.place):
            _add_image(raw, row, of_image, scanners, contents, missing)
    contents.problems.extend(missing_files(missing, len(contents.images) + len(missing), breasts))
    contents.problems.extend(_unknown_images(of_image, findings, breasts))
    return contents


def _read_scanners(metadata: Path, contents: Contents) -> dict[str, str]:
    """Read the maker and model of the scanner of each image by its id; empty without the table."""
    scanners: dict[str, str] = {}
    if metadata.is_file():
        contents.sources.append(metadata)
        with collect(contents.problems):
            for row in read_table(metadata, ("SOP Instance UID",), (_MAKER, _MODEL)):
                scanner = " ".join(filter(None, (row[_MAKER], row[_MODEL])))
                if scanner:
                    scanners[row.text("SOP Instance UID")] = scanner
    return scanners


def _add_image(
    raw: Path,
    row: Row,
    of_image: dict[str, list[Row]],
    scanners: dict[str, str],
    contents: Contents,
    missing: list[Path],
) -> None:
    exam, image_id = row.identifier("study_id"), row.identifier("image_id")
    name = f"{exam}/{image_id}"
    findings = of_image.pop(image_id, [])
    paths = [raw / "images" / exam / f"{image_id}{suffix}" for suffix in _SUFFIXES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        missing.append(paths[0])
        contents.left_out.append(LeftOut(name, "its file is missing"))
        return
    birads = row.choice("breast_birads", _BIRADS)
    width, height = row.number("width"), row.number("height")
    if width is None or height is None:
        raise row.fault("width", "or its height is not given; correct the table")
    if not findings:  # even an image without any has a row, so that a table that is cut off shows
        raise row.fault(
            "image_id",
            "has no row of its own in finding_annotations.csv; copy both tables again",
        )
    row.text("split")  # has to be given: without those of the set, all would be divided anew
    lesions = [_to_lesion(finding, width, height) for finding in findings]
    if any(lesion is not None for lesion in lesions):
        check_size(path, {"width": width, "height": height}, row.path)
    contents.images.append(
        SourceImage(
            path=path,
            name=name,
            patient_id=exam,
            laterality=row.choice("laterality", _SIDES),
            view=row["view_position"],
            density=row.choice("breast_density", _DENSITIES),
            birads=birads,
            scanner=scanners.get(image_id),
            malignant=_is_malignant(birads),
            lesion=False if birads == _NEGATIVE_BIRADS else None,
            lesions=tuple(lesion for lesion in lesions if lesion is not None),
            split=row.choice("split", _SPLITS),
        )
    )


def _to_lesion(row: Row, width: float, height: float) -> Lesion | None:
    """The lesion of a finding; None if it is none."""
    categories = read_names(row, "finding_categories")
    unknown = [name for name in categories if name not in _LESIONS + _OTHER_FINDINGS]
    if unknown or not categories:
        raise row.fault(
            "finding_categories",
            "holds no class of the set, which are " + ", ".join(_LESIONS + _OTHER_FINDINGS),
        )
    types = [name for name in categories if name in _LESIONS]
    if not types:
        return None
    birads = row.choice("finding_birads", _BIRADS)
    attributes: dict[str, Any] = {"types": types}
    if birads is not None:
        attributes["birads"] = birads
    box = _read_box(row, width, height)
    return Lesion(box=box, malignant=_is_malignant(birads), attributes=attributes)


def _read_box(row: Row, width: float, height: float) -> tuple[float, float, float, float]:
    """The box of a finding, cut to the image, as some reach a few pixels beyond it."""
    corners = [row.number(column) for column in ("xmin", "ymin", "xmax", "ymax")]
    if any(corner is None for corner in corners):
        raise row.fault("xmin", "or another side of its box is not given; correct the box")
    x0, y0, x1, y1 = np.clip(np.array(corners, float), 0, [width, height] * 2).tolist()
    if x1 <= x0 or y1 <= y0:
        raise row.fault("xmin", "and the other sides are no box inside of the image; correct it")
    return x0, y0, x1, y1


def _is_malignant(birads: str | None) -> bool | None:
    return None if birads is None else birads in _MALIGNANT_BIRADS


def _unknown_images(of_image: dict[str, list[Row]], findings: Path, breasts: Path) -> list[str]:
    """Tell of findings whose image the other table does not list."""
    if not of_image:
        return []
    return [
        f"not in {breasts}: {counted(len(of_image), 'image')} of {findings}, the first is "
        f"{next(iter(of_image))}; copy both tables again"
    ]


CONVERTER = Converter("vindr_mammo", "VinDr-Mammo", read, MarkedLesions.MALIGNANT)
