"""ICS files of DDSM: the description of one case and its four films."""

import re
from dataclasses import dataclass
from pathlib import Path

from medmask.converters.ddsm.text import read_text
from medmask.errors import InputError

_CASE = re.compile(r"([A-D])-(\d+)-\d+")
_FILM = re.compile(
    r"(?P<side>LEFT|RIGHT)_(?P<view>CC|MLO) LINES (?P<lines>[1-9]\d{0,4}) "
    r"PIXELS_PER_LINE (?P<pixels>[1-9]\d{0,4}) BITS_PER_PIXEL (?P<bits>8|1[0-6]) "
    r"RESOLUTION (?P<resolution>[1-9]\d{0,2}(\.\d{1,6})?) (?P<overlay>(NON_)?OVERLAY)",
    re.ASCII,
)
_FILM_NAME = re.compile(r"(LEFT|RIGHT)_.*")
_DIGITIZERS = ("DBA", "HOWTEK", "LUMISYS")


@dataclass(frozen=True)
class Film:
    """One film of a case.

    Attributes:
        side: LEFT or RIGHT.
        view: CC or MLO.
        height: rows.
        width: columns.
        bits: of a pixel that can be set.
        resolution: micrometers between two pixels.
        has_overlay: whether abnormalities are marked on it.
    """

    side: str
    view: str
    height: int
    width: int
    bits: int
    resolution: float
    has_overlay: bool


@dataclass(frozen=True)
class Case:
    """One case: the films of one patient of one day.

    Attributes:
        volume: the letter A to D, which tells the institution that digitized the films.
        number: digits, unique in a volume.
        year: of the study; None where it is not given.
        age: of the patient in years; None where it is not given.
        density: of the breast, BI-RADS 1 to 4; None where it is not given.
        digitizer: DBA, HOWTEK or LUMISYS.
        films: of the case.
    """

    volume: str
    number: str
    year: str | None
    age: str | None
    density: str | None
    digitizer: str
    films: tuple[Film, ...]


def read_case(path: Path) -> Case:
    """Read the description of a case.

    The order of day and month is not the same in all files, so only the year of a date is used.

    Raises:
        InputError: the file cannot be read, or lacks what is needed.
    """
    lines = [" ".join(line.split()) for line in read_text(path).splitlines()]
    fields = {name: rest for name, _, rest in (line.partition(" ") for line in lines)}
    case = _CASE.fullmatch(fields.get("filename", ""))
    if case is None:
        raise _fault(path, "has no line 'filename' with the name of a case, such as A-1509-1")
    digitizer = fields.get("DIGITIZER", "").split(" ")[0]
    if digitizer not in _DIGITIZERS:
        raise _fault(path, f"names no DIGITIZER of {', '.join(_DIGITIZERS)}")
    films = tuple(_film(path, line) for line in lines if _FILM_NAME.fullmatch(line))
    if not films:
        raise _fault(path, "describes no film such as LEFT_CC LINES 4544 PIXELS_PER_LINE 3120 ...")
    return Case(
        volume=case[1],
        number=case[2],
        year=_given(fields.get("DATE_OF_STUDY", "").split(" ")[-1]),
        age=_given(fields.get("PATIENT_AGE", "")),
        density=_given(fields.get("DENSITY", "")),
        digitizer=digitizer,
        films=films,
    )


def _film(path: Path, line: str) -> Film:
    match = _FILM.fullmatch(line)
    if match is None:
        raise _fault(
            path,
            f"has the line {line[:80]!r}, which is not such as LEFT_CC LINES 4544 PIXELS_PER_LINE "
            "3120 BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY",
        )
    return Film(
        side=match["side"],
        view=match["view"],
        height=int(match["lines"]),
        width=int(match["pixels"]),
        bits=int(match["bits"]),
        resolution=float(match["resolution"]),
        has_overlay=match["overlay"] == "OVERLAY",
    )


def _given(number: str) -> str | None:
    """The number without leading zeros; None for 0, which stands for "not given"."""
    return number.lstrip("0") if number.isascii() and number.isdigit() and int(number) else None


def _fault(path: Path, what: str) -> InputError:
    return InputError(f"case description {path} {what}; copy it again")
