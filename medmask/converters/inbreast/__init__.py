"""INbreast: 410 digital images of 115 cases, with outlines of all findings (release 1.0).

``INbreast.csv`` has a row with the BI-RADS of each image, and ``AllXML`` a file with outlines for
each image with findings. Patients are told by the names of the DICOM files alone.

Lesions are masses, clusters of calcifications, spiculated regions, distortions and asymmetries, and
outlines without a name. Single calcifications are no lesions; they are counted on the image. A
lesion most of whose box lies in that of another one, such as a mass in its spiculated region, is
part of that one.
"""

import re
from pathlib import Path

from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.inbreast.outlines import read_findings
from medmask.converters.problems import leave_out_if_faulty
from medmask.converters.raw_files import find_file
from medmask.converters.tables import Row, read_table
from medmask.errors import InputError

_COLUMNS = ("Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads")
_DICOM_NAME = re.compile(r"(\d+)_([0-9a-f]+)_MG_([LR])_([A-Z]+)_ANON\.dcm", re.IGNORECASE)
_SIDES = {"l": "L", "r": "R"}
_VIEWS = {"ML": "MLO"}  # of the file names
_BIRADS = {value: value for value in ("0", "1", "2", "3", "4", "4a", "4b", "4c", "5", "6")}
_DENSITIES = {value: value for value in "1234"}
_SPACING_MM = 0.07
_SCANNER = "Siemens MammoNovation"


def read(raw: Path) -> Contents:
    """List the images of ``INbreast.csv``."""
    table = find_file(raw, "INbreast.csv")
    dicoms = _find_dicoms(table.parent / "AllDICOMs")
    outlines = _find_outlines(table.parent / "AllXML")
    contents = Contents(sources=[table, *outlines.values()])
    listed = set()
    for row in read_table(table, _COLUMNS, delimiter=";"):
        with leave_out_if_faulty(contents, row["File Name"] or row.place):
            number = row.identifier("File Name")
            listed.add(number)
            if number not in dicoms:
                raise row.fault("File Name", "has no file in AllDICOMs; copy it from the set")
            _add(contents, row, dicoms[number], outlines.get(number))
    for number in sorted(set(dicoms) - listed):
        contents.left_out.append(LeftOut(number, f"it is not in {table.name}"))
        contents.problems.append(f"{dicoms[number]} is not in {table}: of another release?")
    for number in sorted(set(outlines) - set(dicoms)):
        contents.problems.append(f"{outlines[number]} has no DICOM file in AllDICOMs; copy it")
    return contents


def _find_dicoms(folder: Path) -> dict[str, Path]:
    """The file of each image, by its number."""
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; give the folder of the whole release")
    matches = ((_DICOM_NAME.fullmatch(path.name), path) for path in sorted(folder.iterdir()))
    dicoms = {match[1]: path for match, path in matches if match}
    if not dicoms:
        raise InputError(
            f"{folder} has no files such as 20587346_e634830794f5c1bd_MG_R_ML_ANON.dcm; give the "
            "folder of the official release, whose names tell the patients"
        )
    return dicoms


def _find_outlines(folder: Path) -> dict[str, Path]:
    """The file with the findings of an image, by its number."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    outlines = {
        path.stem: path
        for path in paths
        if path.suffix.lower() == ".xml" and not path.name.startswith(".")
    }
    if not outlines:
        raise InputError(
            f"{folder} has no XML files, without which no lesion is known; give the folder of the "
            "whole release"
        )
    return outlines


def _add(contents: Contents, row: Row, dicom: Path, outlines: Path | None) -> None:
    number = row.identifier("File Name")
    findings = read_findings(outlines) if outlines else None
    if findings and findings.without_outline:
        kinds = ", ".join(sorted(set(findings.without_outline)))
        contents.left_out.append(LeftOut(number, f"its {kinds} is marked by less than 3 points"))
        return
    match = _DICOM_NAME.fullmatch(dicom.name)
    assert match is not None  # _find_dicoms
    view = row.text("View").upper()
    birads = row.choice("Bi-Rads", _BIRADS)
    malignant = None if birads is None else birads[0] in "456"
    lesions = tuple(
        Lesion((outline,), malignant=malignant, attributes={"type": kind})
        for kind, outline in (findings.lesions if findings else ())
    )
    contents.images.append(
        SourceImage(
            path=dicom,
            name=number,
            patient_id=match[2].lower(),
            study_date=row["Acquisition date"],
            laterality=row.choice("Laterality", _SIDES),
            view=_VIEWS.get(view, view),
            density=row.choice("ACR", _DENSITIES),
            birads=birads,
            scanner=_SCANNER,
            pixel_spacing_mm=_SPACING_MM,
            malignant=malignant,
            attributes={"calcifications": findings.calcifications if findings else 0},
            lesions=lesions,
        )
    )


CONVERTER = Converter("inbreast", "INbreast", read, MarkedLesions.ALL)
