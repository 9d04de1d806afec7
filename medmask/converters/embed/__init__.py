"""EMBED (Emory Breast Imaging Dataset), the release of the AWS Open Data Program.

::

    findings    the clinical table: findings, their BI-RADS and pathology
    regions     the regions that radiologists marked, in pixels of the DICOM files

The metadata table has a row for every image. It is joined with the clinical table by patient, exam
and side; findings of both sides, or of none stated, belong to all images of the exam.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from medmask.converters import pixels as gray_levels
from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.embed.findings import (
    ExamKey,
    Finding,
    breast_is_malignant,
    breast_is_negative,
    read_findings,
    region_is_malignant,
)
from medmask.converters.embed.regions import is_on_tissue, read_frame, to_box
from medmask.converters.list_cells import read_boxes
from medmask.converters.problems import leave_out_if_faulty, missing_files
from medmask.converters.raw_files import find_file
from medmask.converters.tables import Row, read_header, read_table
from medmask.errors import InputError
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)

_COLUMNS = (
    *("empi_anon", "acc_anon", "anon_dicom_path"),
    *("FinalImageType", "ImageLateralityFinal", "ViewPosition"),
)
_REGIONS_IN_DICOM, _REGIONS_IN_PNG = "DCM_ROI_coords", "ROI_coords"
_OPTIONAL = (
    *(_REGIONS_IN_DICOM, _REGIONS_IN_PNG, "spot_mag", "study_date_anon"),
    *("Manufacturer", "ManufacturerModelName"),
)
_SIDES = {"l": "L", "r": "R", "b": None}
_IN_COHORT = re.compile(r"(?:.*/)?(cohort_[0-9]+/.+)")
_LONGEST_NAME = 255  # bytes, of a file
_IMAGE_FOLDERS = ("images", ".")
_BIRADS_BY_WEIGHT = "1230456"  # an incomplete assessment (0) weighs more than a benign one


def read(raw: Path) -> Contents:
    """List the images of the metadata table, each with what the clinical table says of it."""
    metadata, clinical = (
        find_file(
            raw,
            f"tables/EMBED_OpenData_{kind}.csv",
            f"tables/EMBED_OpenData_{kind}_reduced.csv",
        )
        for kind in ("metadata", "clinical")
    )
    contents = Contents(sources=[metadata, clinical])
    findings = read_findings(clinical, contents)
    column = _region_column(metadata)
    missing: list[Path] = []
    for row in read_table(metadata, _COLUMNS, _OPTIONAL):
        with leave_out_if_faulty(contents, row.place):
            _add_image(raw, row, column, findings, contents, missing)
    contents.problems.extend(missing_files(missing, len(contents.images) + len(missing), metadata))
    _check_join(contents, findings, clinical)
    return contents


def read_pixels(image: SourceImage) -> np.ndarray:
    """Read the gray levels of an image, whose regions must lie on the breast.

    Raises:
        InputError: the file cannot be read, or a region lies in the empty part of the image.
    """
    pixels = gray_levels.read_pixels(image)
    for lesion in image.lesions:
        if lesion.box is not None and not is_on_tissue(pixels, lesion.box):
            raise InputError(
                f"image {image.path} has a region {_show(lesion.box)} in its empty part: it was "
                "marked on another image, or on the other side of it"
            )
    return pixels


def _region_column(metadata: Path) -> str:
    """The column of the regions: that in pixels of the DICOM files, if there is one."""
    header = [name.lower() for name in read_header(metadata)]
    for column in (_REGIONS_IN_DICOM, _REGIONS_IN_PNG):
        if column.lower() in header:
            return column
    raise InputError(
        f"table {metadata} has no column {_REGIONS_IN_PNG} or {_REGIONS_IN_DICOM}; it may be of "
        "another release"
    )


def _add_image(
    raw: Path,
    row: Row,
    column: str,
    findings: dict[ExamKey, list[Finding]],
    contents: Contents,
    missing: list[Path],
) -> None:
    patient, exam = row.identifier("empi_anon"), row.identifier("acc_anon")
    relative = _relative_path(row)
    name = f"{patient}/{exam}/{relative.stem}"
    reason = _reason_to_leave_out(row)
    paths = [raw / folder / relative for folder in _IMAGE_FOLDERS]
    path = next((path for path in paths if reason is None and path.is_file()), None)
    if path is None:
        if reason is None:
            missing.append(paths[0])
        contents.left_out.append(LeftOut(name, reason or "its file is missing"))
        return
    side = row.choice("ImageLateralityFinal", _SIDES)
    of_breast = [finding for finding in findings.get((patient, exam), []) if finding.is_of(side)]
    scanner = " ".join(filter(None, (row["Manufacturer"], row["ManufacturerModelName"])))
    contents.images.append(
        SourceImage(
            path=path,
            name=name,
            patient_id=patient,
            study_date=(row["study_date_anon"] or "")[:10] or None,
            laterality=side,
            view=row["ViewPosition"],
            density=_heaviest((finding.density for finding in of_breast), "ABCD"),
            birads=_heaviest((finding.birads for finding in of_breast), _BIRADS_BY_WEIGHT),
            scanner=scanner or None,
            malignant=breast_is_malignant(of_breast, side),
            lesion=False if breast_is_negative(of_breast) else None,
            attributes={"exam_id": exam},
            lesions=_read_regions(row, column, path, side, of_breast),
        )
    )


def _reason_to_leave_out(row: Row) -> str | None:
    kind = row.text("FinalImageType")
    if kind.lower() != "2d":
        return f"it is of the type {kind}, not a digital mammogram (2D)"
    if row.number("spot_mag"):
        return "it shows a part of the breast, compressed or magnified"
    return None


def _relative_path(row: Row) -> PurePosixPath:
    """The path of an image from the folder of its cohort on; what stands before it varies."""
    match = _IN_COHORT.fullmatch(row.text("anon_dicom_path"))
    path = PurePosixPath(match[1] if match else ".")
    is_path = all(len(part.encode()) <= _LONGEST_NAME for part in path.parts)
    if not match or not is_path or ".." in path.parts or "\0" in match[1]:
        raise row.fault("anon_dicom_path", "is no path in a folder such as cohort_1; correct it")
    return path


def _read_regions(
    row: Row, column: str, path: Path, side: str | None, findings: list[Finding]
) -> tuple[Lesion, ...]:
    regions = read_boxes(row, column)
    if not regions:
        return ()
    height, width, mirrored = read_frame(path, side, row["ViewPosition"])
    mirrored = mirrored and column == _REGIONS_IN_PNG
    boxes = [to_box(region, (height, width), mirrored=mirrored) for region in regions]
    if None in boxes:
        raise row.fault(column, f"has a region outside of its image of {width} x {height} pixels")
    malignant = region_is_malignant(findings, side)
    kinds = sorted({kind for finding in findings for kind in finding.kinds})
    attributes: dict[str, Any] = {"types_in_breast": kinds} if kinds else {}
    return tuple(Lesion(box=box, malignant=malignant, attributes=attributes) for box in boxes)


def _check_join(contents: Contents, findings: dict[ExamKey, list[Finding]], clinical: Path) -> None:
    """Tell of images whose exam the clinical table does not have."""
    exams = [(image.patient_id or "", image.attributes["exam_id"]) for image in contents.images]
    unknown = [exam for exam in exams if exam not in findings]
    if exams and len(unknown) == len(exams):
        contents.problems.append(
            f"table {clinical} has no row of patient {exams[0][0]}, exam {exams[0][1]}, nor of any "
            "other exam with images; take both tables of one release, as they were published"
        )
    elif unknown:
        logger.warning(
            "%s has no row for the exams of %s, such as patient %s, exam %s: whether they "
            "show cancer is not known",
            clinical,
            counted(len(unknown), "image"),
            *unknown[0],
        )


def _heaviest(values: Iterable[str | None], order: str) -> str | None:
    """The value that comes last in an order of single letters; None if none is given."""
    given = [value for value in values if value is not None]
    return max(given, key=order.index, default=None)


def _show(box: tuple[float, float, float, float]) -> str:
    return "(" + ", ".join(f"{corner:g}" for corner in box) + ")"


CONVERTER = Converter("embed", "EMBED", read, MarkedLesions.MALIGNANT, read_pixels=read_pixels)
