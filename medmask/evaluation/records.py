"""JSON records as arrays, and the faults found in them."""

import json
import os
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from medmask.errors import InputError

_FAULTS_SHOWN = 10


class BoxTable:
    """The columns that annotations and detections share, as arrays.

    Attributes:
        boxes: (R, 4) float64, (x0, y0, x1, y1); NaN where a record has no box of four numbers.
        image_indices: (R,) int64, -1 where the image is unknown.
        category_indices: (R,) int64, -1 where the category is unknown.
    """

    def __init__(
        self,
        records: Sequence[dict],
        name: Callable[[int], str],
        image_ids: Sequence[Hashable],
        category_ids: Sequence[Hashable],
    ) -> None:
        self._name = name
        self._columns = {
            field: column(records, field) for field in ("image_id", "category_id", "bbox")
        }
        self.image_indices = _look_up(self._columns["image_id"], image_ids)
        self.category_indices = _look_up(self._columns["category_id"], category_ids)
        self.boxes = _quadruples(self._columns["bbox"])
        self._sides = self.boxes[:, 2:].copy()
        self.boxes[:, 2:] += self.boxes[:, :2]

    def check(self, faults: "Faults", allow_empty_boxes: bool) -> None:
        """Add what is wrong with the records."""
        faults.add_where(self.image_indices < 0, self._describe("image_id", "is unknown"))
        faults.add_where(self.category_indices < 0, self._describe("category_id", "is unknown"))
        malformed = ~np.isfinite(self.boxes).all(axis=1)
        faults.add_where(
            malformed, self._describe("bbox", "is not [x, y, width, height] of finite numbers")
        )
        if allow_empty_boxes:
            too_small, fault = self._sides < 0, "has a negative width or height"
        else:
            too_small, fault = self._sides <= 0, "has no positive width and height"
        faults.add_where(~malformed & too_small.any(axis=1), self._describe("bbox", fault))

    def _describe(self, field: str, fault: str) -> Callable[[int], str]:
        return lambda i: f"{self._name(i)}: {field} {show(self._columns[field][i])} {fault}"


class Faults:
    """Collects what is wrong with a file and reports it in one sentence."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = path
        self._shown: list[str] = []
        self._count = 0

    def add_where(self, faulty: np.ndarray, describe: Callable[[int], str]) -> None:
        """Add ``describe(i)`` for every i where the (R,) mask ``faulty`` is True."""
        indices = np.flatnonzero(faulty)
        self._count += len(indices)
        self._shown += [describe(int(i)) for i in indices[: _FAULTS_SHOWN - len(self._shown)]]

    def add(self, fault: str) -> None:
        self.add_where(np.array([True]), lambda _: fault)

    def raise_if_any(self) -> None:
        if not self._count:
            return
        number = "1 fault" if self._count == 1 else f"{self._count} faults"
        more = self._count - len(self._shown)
        rest = f"; and {more} more" if more else ""
        raise InputError(f"{self._path}: {number}: {'; '.join(self._shown)}{rest}")


def column(records: Sequence[dict], field: str) -> list:
    """(R,) the field of each record, None where it is missing."""
    return [record.get(field) for record in records]


def numbers(values: Sequence) -> np.ndarray:
    """(R,) float64, NaN where a value is not a number."""
    if _all_numbers(values):
        return np.array(values, dtype=np.float64)
    return np.array([v if _is_number(v) else np.nan for v in values], dtype=np.float64)


def show(value: Any) -> str:
    """A value as a short piece of JSON, to be named in an error."""
    text = json.dumps(value) if value is not None else "(missing or null)"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _look_up(values: Sequence, known: Sequence[Hashable]) -> np.ndarray:
    """(R,) int64: where each value stands in ``known``, -1 where it does not."""
    index = {value: i for i, value in enumerate(known)}
    try:
        found = [index.get(value, -1) for value in values]
    except TypeError:  # a list or an object is no id, and has no hash
        found = [index.get(v, -1) if isinstance(v, Hashable) else -1 for v in values]
    return np.array(found, dtype=np.int64)


def _quadruples(values: Sequence) -> np.ndarray:
    """(R, 4) float64, NaN in the rows that are not lists of four numbers."""
    rows = [v if isinstance(v, list) and len(v) == 4 else [None] * 4 for v in values]
    return numbers([number for row in rows for number in row]).reshape(-1, 4)


def _all_numbers(values: Sequence) -> bool:
    return set(map(type, values)) <= {int, float}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
