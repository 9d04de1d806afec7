"""CMMD: mammograms of 1,775 patients with the biopsy of the breast, but no boxes.

The table has a row for each breast with a biopsy. Images of the other breast carry no label: that
it is healthy is not said. As nothing is outlined, the set is one of image labels.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from medmask.converters.contract import Contents, Converter, MarkedLesions, SourceImage
from medmask.converters.problems import collect, leave_out_if_faulty
from medmask.converters.raw_files import find_file, list_files
from medmask.converters.spreadsheet import read_sheet
from medmask.converters.tables import Row
from medmask.errors import InputError
from medmask.images.dicom.elements import Elements
from medmask.images.dicom.parsing import open_dicom
from medmask.images.dicom.view import read_coded_view
from medmask.utils.counts import counted

_TABLES = ("CMMD_clinicaldata_revision.xlsx", "CMMD_clinicaldata_revision.csv")
_COLUMNS = ("ID1", "LeftRight", "classification")
_OPTIONAL = ("Age", "abnormality", "subtype")
_PATIENT = re.compile(r"D[12]-\d{4}")
_SIDES = {"l": "L", "r": "R"}
_MALIGNANT = {"malignant": True, "benign": False}
_VIEWS = ("CC", "MLO")
_YEAR_UNKNOWN = "1901"


@dataclass(frozen=True)
class _Header:
    """Content of the header of a file."""

    patient: str
    side: str
    view: str
    year: str | None


def read(raw: Path) -> Contents:
    """List the DICOM files below a folder, and label those that the table has a row for.

    Raises:
        InputError: the table is missing, or there are no DICOM files.
    """
    table = find_file(raw, *_TABLES)
    contents = Contents(sources=[table])
    labels = _read_labels(table, contents.problems)
    paths = sorted(list_files(raw, contents.problems, ".dcm"))
    if not paths:
        raise InputError(f"{raw} has no files that end with .dcm; give the folder of the download")
    names: Counter[str] = Counter()
    found: set[str] = set()
    for path in paths:
        with leave_out_if_faulty(contents, str(path.relative_to(raw))):
            header = _read_header(path)
            found.add(header.patient)
            name = f"{header.patient}_{header.side}_{header.view}"
            names[name] += 1
            contents.images.append(_describe(path, header, name, names[name], labels))
    missing = sorted({patient for patient, _ in labels} - found)
    if missing:
        contents.problems.append(
            f"no files in {raw} of {counted(len(missing), 'patient')} of {table}, the first is "
            f"{missing[0]}; complete the download"
        )
    return contents


def _read_labels(table: Path, problems: list[str]) -> dict[tuple[str, str], Row]:
    """The row of each breast by its patient and side, unless two rows contradict each other."""
    labels: dict[tuple[str, str], Row] = {}
    contradicted = set()
    for row in read_sheet(table, _COLUMNS, _OPTIONAL):
        with collect(problems):
            row.text("LeftRight")
            patient, side = row.identifier("ID1"), row.choice("LeftRight", _SIDES)
            assert side is not None  # as there is a text
            first = labels.setdefault((patient, side), row)
            if _classification(first) != _classification(row):
                contradicted.add((patient, side))
                raise row.fault(
                    "classification",
                    f"is not that of line {first.line}, of the same breast, so that its images get "
                    "no label; correct one of them",
                )
    return {breast: row for breast, row in labels.items() if breast not in contradicted}


def _classification(row: Row) -> str:
    return (row["classification"] or "").lower()


def _read_header(path: Path) -> _Header:
    with open_dicom(path) as file:
        elements = file.elements
        patient = elements.identifier("PatientID")
        if not _PATIENT.fullmatch(patient):
            raise elements.fault("PatientID", "is no patient of CMMD, such as D1-0001")
        side = elements.text("ImageLaterality")
        if side not in ("L", "R"):
            raise elements.fault("ImageLaterality", "must be L or R")
        year = elements.text("StudyDate")[:4]
        return _Header(
            patient=patient,
            side=side,
            view=_read_view(elements),
            year=year if year and year != _YEAR_UNKNOWN else None,
        )


def _read_view(elements: Elements) -> str:
    view = read_coded_view(elements)
    if view in _VIEWS:
        return view
    raise elements.fault("ViewCodeSequence", "must be that of a CC or an MLO view")


def _describe(
    path: Path, header: _Header, name: str, number: int, labels: dict[tuple[str, str], Row]
) -> SourceImage:
    row = labels.get((header.patient, header.side))
    malignant, attributes = None, {}
    if row is not None:
        row.text("classification")
        malignant = row.choice("classification", _MALIGNANT)
        told = {
            "age": row.number("Age"),
            "abnormality": row["abnormality"],
            "subtype": row["subtype"],
        }
        attributes = {key: value for key, value in told.items() if value is not None}
    return SourceImage(
        path=path,
        name=name if number == 1 else f"{name}_{number}",
        patient_id=header.patient,
        study_date=header.year,
        laterality=header.side,
        view=header.view,
        malignant=malignant,
        attributes=attributes,
    )


CONVERTER = Converter("cmmd", "CMMD", read, MarkedLesions.NONE)
