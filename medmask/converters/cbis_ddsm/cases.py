"""The four case descriptions of CBIS-DDSM: what was found on each film, and where its files are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmask.converters.tables import Row, read_table

TABLES = (
    "mass_case_description_train_set.csv",
    "mass_case_description_test_set.csv",
    "calc_case_description_train_set.csv",
    "calc_case_description_test_set.csv",
)

_COLUMNS = (
    "patient_id",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
)
_DESCRIPTIONS = ("mass shape", "mass margins", "calc type", "calc distribution")
_DENSITIES = ("breast_density", "breast density")  # of the masses, of the calcifications
_SIDES = {"left": "LEFT", "right": "RIGHT"}
_VIEWS = {"cc": "CC", "mlo": "MLO"}
_TYPES = {"mass": "mass", "calcification": "calcification"}
_MALIGNANT = {"malignant": True, "benign": False, "benign_without_callback": False}
_SPLITS = {"Training": "train", "Test": "test"}
_FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_(LEFT|RIGHT)_(CC|MLO)(_\d+)?")


@dataclass(frozen=True)
class Place:
    """The place of a DICOM file as the tables state it.

    The name of the file itself is not that on disk, and mask and crop are mixed up in many rows.

    Attributes:
        folder: such as ``Mass-Training_P_00001_LEFT_CC_1``.
        series: the UID of its series.
    """

    folder: str
    series: str


@dataclass(frozen=True)
class Region:
    """One row of the tables: an abnormality on a film.

    Attributes:
        patient: such as ``P_00001``.
        side: LEFT or RIGHT.
        view: CC or MLO.
        split: of the table, train or test.
        malignant: by biopsy; what was benign, with or without callback, is not.
        density: of the breast, BI-RADS 1 to 4; None where it is not given.
        assessment: BI-RADS 0 to 5.
        attributes: everything else that is told of it.
        film: of the whole film.
        cutouts: of the mask and of the crop, in any order; one place where they share a series.
    """

    patient: str
    side: str
    view: str
    split: str
    malignant: bool
    density: str | None
    assessment: str
    attributes: dict[str, str]
    film: Place
    cutouts: tuple[Place, ...]


def read_regions(path: Path) -> Iterator[Region]:
    """Read one of :data:`TABLES`.

    Raises:
        InputError: it is not the table it should be.
    """
    for row in read_table(path, _COLUMNS, (*_DESCRIPTIONS, *_DENSITIES)):
        film = _place(row, "image file path")
        name_parts = _FOLDER.fullmatch(film.folder)
        assert name_parts is not None  # else it would be no place
        cutouts = (_place(row, "ROI mask file path"), _place(row, "cropped image file path"))
        density = row[_DENSITIES[0]] or row[_DENSITIES[1]]
        yield Region(
            patient=row.identifier("patient_id"),
            side=_choice(row, "left or right breast", _SIDES),
            view=_choice(row, "image view", _VIEWS),
            split=_SPLITS[name_parts[2]],
            malignant=_choice(row, "pathology", _MALIGNANT),
            density=density if density in ("1", "2", "3", "4") else None,
            assessment=row.text("assessment"),
            attributes=dict(_attributes(row)),
            film=film,
            cutouts=tuple(dict.fromkeys(cutouts)),
        )


def is_folder(name: str) -> bool:
    """Tell whether a folder has the name of a film, or of an abnormality on it."""
    return _FOLDER.fullmatch(name) is not None


def _attributes(row: Row) -> Iterator[tuple[str, str]]:
    yield "type", _choice(row, "abnormality type", _TYPES)
    for column in ("abnormality id", "pathology", "subtlety", *_DESCRIPTIONS):
        text = row[column]
        if text is not None:
            yield column.replace(" ", "_"), text


def _choice(row: Row, column: str, meanings: dict[str, Any]) -> Any:
    """The meaning of a cell that has to be given."""
    row.text(column)
    return row.choice(column, meanings)


def _place(row: Row, column: str) -> Place:
    """A path such as ``Mass-Test_P_00016_LEFT_CC/<study>/<series>/000000.dcm``."""
    parts = row.text(column).replace("\\", "/").split("/")
    if len(parts) != 4 or not is_folder(parts[0]):
        raise row.fault(
            column,
            "is not a path of four parts, the first such as "
            "Mass-Training_P_00001_LEFT_CC; the table may be of another release",
        )
    return Place(parts[0], parts[2].strip())
