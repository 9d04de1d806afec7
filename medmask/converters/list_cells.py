"""Lists in the cells of index tables, read without evaluating any of their text."""

import json
import math
import re
from collections.abc import Iterator

from medmask.converters.tables import Row

_QUOTED = r"(?:'[^']*'|\"[^\"]*\")"
# no spaces in a row that could be split in several ways: the time would be their square
_NAMES = re.compile(rf"\[\s*(?:{_QUOTED}\s*(?:,\s*{_QUOTED}\s*)*(?:,\s*)?)?\]")
_NAME = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NUMBERS = re.compile(r"[-+0-9.eE,\s()\[\]]*")


def read_names(row: Row, column: str) -> list[str]:
    """Read a list of names as Python prints it: ``"['Mass', 'Asymmetry']"``; empty if not given.

    Raises:
        InputError: the cell holds anything else.
    """
    text = row[column]
    if text is None:
        return []
    if not _NAMES.fullmatch(text):
        raise row.fault(column, "is no list of names such as ['Mass']; correct it")
    names = [(single or double).strip() for single, double in _NAME.findall(text)]
    return [name for name in names if name]


def read_boxes(row: Row, column: str) -> list[tuple[float, float, float, float]]:
    """Read quadruples of numbers: ``"((1, 2, 3, 4), (5, 6, 7, 8))"``; none if not given.

    Brackets of both kinds are taken, nested deeper too, as some tables group the boxes.

    Raises:
        InputError: the cell holds anything else.
    """
    text = row[column]
    if text is None:
        return []
    fault = row.fault(column, "is no list of boxes of four numbers; correct it")
    if not _NUMBERS.fullmatch(text):
        raise fault
    nested = re.sub(r",\s*\]", "]", text.replace("(", "[").replace(")", "]"))
    try:
        boxes = list(_quadruples(json.loads(nested)))
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise fault from None
    return boxes


def _quadruples(value: object) -> Iterator[tuple[float, float, float, float]]:
    """The boxes in nested lists; a list holds lists, or the four numbers of a box."""
    if not isinstance(value, list):
        raise ValueError("a number outside of a box")
    if value and all(isinstance(part, list) for part in value):
        for part in value:
            yield from _quadruples(part)
    elif value:
        y0, x0, y1, x1 = map(float, value)
        if not all(map(math.isfinite, (y0, x0, y1, x1))):
            raise ValueError("a number that is not finite")
        yield y0, x0, y1, x1
