"""OVERLAY files of DDSM: the abnormalities of one film, each with outlines as chain codes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medmask.converters.ddsm.text import read_text
from medmask.errors import InputError

# x right, y down: 0 is up, then clockwise in steps of 45 degrees
_STEPS = np.array([(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)])

_FIELDS = ("ASSESSMENT", "SUBTLETY", "PATHOLOGY")
_OUTLINES = ("BOUNDARY", "CORE")


@dataclass(frozen=True)
class Abnormality:
    """One abnormality of a film.

    Attributes:
        boundary: (N, 2) float corners x, y of its outline, in pixels of the film.
        cores: outlines of the denser parts inside, likewise.
        lesion_types: what it is, such as ``MASS SHAPE IRREGULAR MARGINS SPICULATED``; several where
            it is several things.
        assessment: BI-RADS; None where it is not given.
        subtlety: from 1, subtle, to 5, obvious; None where it is not given.
        pathology: such as ``MALIGNANT``, ``BENIGN``, ``BENIGN_WITHOUT_CALLBACK`` or ``UNPROVEN``.
    """

    boundary: np.ndarray
    cores: tuple[np.ndarray, ...]
    lesion_types: tuple[str, ...]
    assessment: str | None
    subtlety: str | None
    pathology: str


def read_overlay(path: Path) -> list[Abnormality]:
    """Read the abnormalities of a film.

    ``TOTAL_OUTLINES`` is wrong in many of the published files and is not looked at.

    Raises:
        InputError: the file cannot be read, is cut off, or has another form.
    """
    lines = [line.split() for line in read_text(path).splitlines()]
    lines = [words for words in lines if words]
    if not lines or lines[0][0] != "TOTAL_ABNORMALITIES":
        raise _fault(path, "does not begin with TOTAL_ABNORMALITIES")
    starts = [i for i, words in enumerate(lines) if words[0] == "ABNORMALITY"]
    if lines[0][1:] != [str(len(starts))]:
        raise _fault(path, f"states {' '.join(lines[0])} and has {len(starts)}")
    ends = [*starts[1:], len(lines)]
    return [
        _read_abnormality(path, lines[i + 1 : end]) for i, end in zip(starts, ends, strict=True)
    ]


def trace_chain(x: int, y: int, codes: list[int]) -> np.ndarray:
    """Turn a chain code into the corners of a polygon.

    Args:
        x: column of the first pixel.
        y: row of the first pixel.
        codes: the direction from each pixel to the next: 0 up, 2 right, 4 down, 6 left, and the
            diagonals between them.

    Returns:
        (N, 2) float x, y: the centers of the pixels where the direction changes. The center of the
        first pixel of the film is (0.5, 0.5).
    """
    directions = np.asarray(codes, np.int64)
    pixels = np.cumsum(np.concatenate([[(x, y)], _STEPS[directions]]), axis=0)
    is_corner = np.ones(len(pixels), bool)
    is_corner[1:-1] = directions[1:] != directions[:-1]
    corners = pixels[is_corner]
    if len(corners) > 1 and (corners[0] == corners[-1]).all():
        corners = corners[:-1]
    return corners + 0.5


def _read_abnormality(path: Path, lines: list[list[str]]) -> Abnormality:
    fields: dict[str, str] = {}
    lesion_types: list[str] = []
    for words in lines:
        if words[0] == "LESION_TYPE":
            lesion_types.append(" ".join(words[1:]))
        elif words[0] in _FIELDS and len(words) == 2:
            fields[words[0]] = words[1]
    if "PATHOLOGY" not in fields:
        raise _fault(path, "has an abnormality without PATHOLOGY")
    outlines = list(_read_outlines(path, lines))
    boundaries = [outline for name, outline in outlines if name == "BOUNDARY"]
    if len(boundaries) != 1:
        raise _fault(path, f"has an abnormality with {len(boundaries)} BOUNDARY lines, not one")
    return Abnormality(
        boundary=boundaries[0],
        cores=tuple(outline for name, outline in outlines if name == "CORE"),
        lesion_types=tuple(lesion_types),
        assessment=fields.get("ASSESSMENT"),
        subtlety=fields.get("SUBTLETY"),
        pathology=fields["PATHOLOGY"],
    )


def _read_outlines(path: Path, lines: list[list[str]]) -> Iterator[tuple[str, np.ndarray]]:
    """(BOUNDARY or CORE, corners) of each outline, whose chain ends with #, if on another line."""
    words = [word for line in lines for word in line]
    for i, name in enumerate(words):
        if name in _OUTLINES:
            chain = words[i + 1 :]
            if "#" not in chain:
                raise _fault(path, f"has a {name} without the # at its end")
            yield name, _parse_chain(path, chain[: chain.index("#")])


def _parse_chain(path: Path, words: list[str]) -> np.ndarray:
    if len(words) < 3 or not all(word.isascii() and word.isdigit() for word in words):
        raise _fault(path, "has an outline that is not a column, a row and a chain of directions")
    if any(word not in "01234567" for word in words[2:]):
        raise _fault(path, "has an outline with a direction that is not one of 0 to 7")
    x, y, *codes = map(int, words)
    return trace_chain(x, y, codes)


def _fault(path: Path, what: str) -> InputError:
    return InputError(f"overlay {path} {what}; it may be cut off, copy it again")
