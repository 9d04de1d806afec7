"""Single values of COCO files, as JSON gives them and as they are meant.

Files come from many tools. NaN (as pandas writes an empty cell), null and empty text mean "not
given"; whole numbers may be written as floats (``7.0``) and flags as ``false`` and ``true``.
"""

import math
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from medmask.utils.json_files import show

_SMALLEST_ID, _LARGEST_ID = -(2**63), 2**63 - 1
_MOST_DIGITS = 20
"""Text of so many digits is no number of 64 bits."""
_TEXTS_FOR_NOTHING = {"", "nan", "none", "null", "nat", "<na>"}
"""Texts that tools write for an empty cell, in lower case."""


def as_given(value: Any) -> Any:
    """Return the value; None where it is NaN, null or empty text, which mean "not given"."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return None if isinstance(value, str) and not value.strip() else value


def as_id(value: Any) -> Any:
    """Interpret an id: whole numbers become ints; None if not given; all else stays as it is."""
    value = as_given(value)
    return int(value) if type(value) is float and value.is_integer() else value


def as_flag(value: Any) -> Any:
    """Interpret a flag: 0 or 1; not given is 0; what is neither is returned as it is."""
    value = as_given(value)
    if value is None:
        return 0
    is_flag = isinstance(value, bool | int | float) and value in (0, 1)
    return int(value) if is_flag else value


def as_label(value: Any) -> Any:
    """Interpret a patient or the like: as an id; text loses outer spaces, empty text becomes None.

    So do "nan" and "None", which tools write for an empty cell.
    """
    if not isinstance(value, str):
        return as_id(value)
    text = value.strip()
    return None if text.lower() in _TEXTS_FOR_NOTHING else text


def is_id(value: Any) -> bool:
    """Tell whether a value can be an id: text, or a whole number of 64 bits."""
    if isinstance(value, str):
        return bool(value)
    return is_whole_number(value)


def is_whole_number(value: Any) -> bool:
    """Tell whether a value is an int (not a bool) of 64 bits."""
    return type(value) is int and _SMALLEST_ID <= value <= _LARGEST_ID


def column(records: Sequence[dict], field: str) -> list:
    """Take a field of R records, None where it is missing."""
    return [record.get(field) for record in records]


def numbers(values: Sequence) -> np.ndarray:
    """Make (R,) float64 of R values, NaN where one is not a number that a float can hold."""
    if set(map(type, values)) <= {int, float}:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            pass
    return np.array([_number(value) for value in values], dtype=np.float64)


def quadruples(values: Sequence) -> np.ndarray:
    """Make (R, 4) float64 of R values, NaN where one is not a list of four numbers."""
    rows = [v if isinstance(v, list) and len(v) == 4 else [None] * 4 for v in values]
    return numbers([number for row in rows for number in row]).reshape(-1, 4)


def look_up(values: Sequence, known: Sequence[Hashable]) -> np.ndarray:
    """Find the index of each of R values in ``known``: (R,) int64, -1 where it is not there.

    ``True`` and ``1`` differ, as a flag is no id.
    """
    index = {value: i for i, value in enumerate(known)}
    return np.array(
        [index.get(v, -1) if type(v) is int or type(v) is str else -1 for v in values],
        dtype=np.int64,
    )


def written_otherwise(id_: Any, known: Container[Hashable]) -> int | str | None:
    """Find an id among the known that is text where ``id_`` is a number, or the other way round.

    Returns:
        The known one; None if there is none.
    """
    other: int | str | None = None
    if type(id_) is int:
        other = str(id_)
    elif isinstance(id_, str) and id_.isdecimal() and len(id_) < _MOST_DIGITS:
        other = int(id_)
    return other if other is not None and other in known else None


def find_duplicates(what: str, values: Iterable[Hashable]) -> Iterator[str]:
    """Yield a sentence for each value that several records have."""
    for value, count in Counter(values).items():
        if count > 1:
            yield f"{what} {show(value)} is used by {count} records"


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
