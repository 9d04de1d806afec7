"""Mammograms as they are hung: head or outer side up, chest walls back to back.

By the header's Patient Orientation (0020,0020), which names where rows and columns lead: A to the
front, P to the back, L and R to the patient's sides, H to the head, F to the feet.
"""

from pathlib import Path

from medmask.images import is_dicom
from medmask.images.dicom.parsing import open_dicom
from medmask.images.dicom.view import read_side, read_view

_OPPOSITE = {"A": "P", "P": "A", "L": "R", "R": "L", "H": "F", "F": "H"}
_FROM_ABOVE = ("CC", "XCCL", "XCCM", "FB")
"""Views in which the outer side is up; in all others it is the head."""


def find_hanging(path: Path) -> tuple[int, bool] | None:
    """Find the quarter turns, clockwise, and the mirroring after them that hang an image.

    Returns:
        None where a file does not tell how it lies, or lies as no turns and mirroring can mend.
    """
    if not is_dicom(path):
        return None
    with open_dicom(path) as file:
        elements = file.elements
        side = read_side(elements)
        view = read_view(elements)
        orientation = elements.value("PatientOrientation")
    letters = [str(x)[:1].upper() for x in orientation] if _is_pair(orientation) else []
    if not side or not view or not letters or not _OPPOSITE.keys() >= set(letters):
        return None
    return _turns_to((letters[0], letters[1]), _hung(side, view))


def _is_pair(value: object) -> bool:
    return not isinstance(value, str) and hasattr(value, "__len__") and len(value) == 2


def _hung(side: str, view: str) -> tuple[str, str]:
    """Directions that rows and columns of an image have that is hung as usual."""
    rows = "A" if side == "L" else "P"
    columns = _OPPOSITE[side] if view in _FROM_ABOVE else "F"
    return rows, columns


def _turns_to(stored: tuple[str, str], wanted: tuple[str, str]) -> tuple[int, bool] | None:
    rows, columns = stored
    for turns in range(4):
        for mirrored in (False, True):
            if (_OPPOSITE[rows] if mirrored else rows, columns) == wanted:
                return turns, mirrored
        rows, columns = _OPPOSITE[columns], rows  # what led up leads to the right
    return None
