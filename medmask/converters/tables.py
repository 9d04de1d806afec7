"""Index tables of data sets: CSV files as they are published, and as spreadsheets leave them.

Columns are found by name, whatever the case of the letters and whatever stands beside them. Cells
lose outer spaces; what tools write for an empty cell (nothing, ``NaN``, ``None``, ``NA``) means
"not given". Nothing of a cell is ever evaluated: lists in cells are read by
:mod:`medmask.converters.list_cells`.
"""

import csv
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from medmask.coco.values import as_label
from medmask.errors import InputError
from medmask.utils.counts import counted

_NOT_AVAILABLE = ("NA", "N/A")
"""Texts that R and spreadsheets write for an empty cell."""
_WHOLE_FLOAT = re.compile(r"([0-9]+)\.0*")
_LONGEST_IDENTIFIER = 100  # characters; with a suffix it is still the name of a file

Meaning = TypeVar("Meaning")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        path: of the table, for messages.
        line: of the file, counted from 1.
        cells: by the name of the column; None where a cell is empty, or the table has not this
            optional column.
    """

    path: Path
    line: int
    cells: dict[str, str | None]

    def __getitem__(self, column: str) -> str | None:
        return self.cells[column]

    @property
    def place(self) -> str:
        """Place of the row, to name what it tells of: ``train.csv, line 7``."""
        return f"{self.path.name}, line {self.line}"

    def text(self, column: str) -> str:
        """The text of a cell that has to be given.

        Raises:
            InputError: the cell is empty.
        """
        text = self.cells[column]
        if text is None:
            raise self.fault(column, "is empty; write the table again, or leave the row out")
        return text

    def identifier(self, column: str) -> str:
        """An id; one that a spreadsheet made a float of, as ``1234.0``, loses its decimals.

        Raises:
            InputError: the cell is empty, or cannot be part of a file name.
        """
        text = self.text(column)
        match = _WHOLE_FLOAT.fullmatch(text)
        text = match[1] if match else text
        if (
            len(text) > _LONGEST_IDENTIFIER
            or text in (".", "..")
            or any(c in "/\\" or not c.isprintable() for c in text)
        ):
            raise self.fault(column, "is no id, as it cannot be part of a file name; correct it")
        return text

    def number(self, column: str) -> float | None:
        """A finite number; None where the cell is empty.

        Raises:
            InputError: the cell holds anything else.
        """
        text = self.cells[column]
        if text is None:
            return None
        try:
            number = float(text.replace("_", "?"))  # Python's own numbers may have underscores
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.fault(column, "is not a finite number; correct it")
        return number

    def choice(self, column: str, meanings: Mapping[str, Meaning]) -> Meaning | None:
        """The meaning of a cell, whatever its case; None where it is empty.

        Args:
            column: its name.
            meanings: of all texts that the cell may hold, in lower case.

        Raises:
            InputError: the cell holds another text.
        """
        text = self.cells[column]
        if text is None:
            return None
        if text.lower() not in meanings:
            raise self.fault(
                column, f"is none of {', '.join(meanings)}; the table may be of another release"
            )
        return meanings[text.lower()]

    def fault(self, column: str, what: str) -> InputError:
        """An error that names the table, the line, the column, its text and the fault."""
        text = self.cells.get(column)
        shown = "" if text is None else f" {text[:40]!r}"
        return InputError(f"table {self.path}, line {self.line}: its {column}{shown} {what}")


def read_table(
    path: str | os.PathLike,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    *,
    delimiter: str = ",",
) -> Iterator[Row]:
    """Read some columns of a CSV file, row by row; empty lines are passed over.

    Args:
        path: the file, in UTF-8, with or without byte order mark.
        columns: names of those that it must have.
        optional: names of those that it may have.
        delimiter: between two cells.

    Raises:
        InputError: the file is absent, empty, not UTF-8, not CSV, lacks columns or has one twice,
            or a row has more or fewer cells than the header.
    """
    path = Path(path)
    records = _records(path, delimiter)
    _, header = next(records, (1, []))
    indices = find_columns(path, header, columns, optional)
    width = None
    for line, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        width = len(cells) if width is None else width
        if len(cells) != width or width <= max(indices.values(), default=-1):
            raise InputError(
                f"table {path}, line {line} has {counted(len(cells), 'cell')}, not as many as the "
                "header or the lines before; it may be cut off, copy it again"
            )
        values = {name: read_cell(cells[index]) for name, index in indices.items()}
        yield Row(path, line, {**dict.fromkeys(optional), **values})


def read_header(path: str | os.PathLike) -> list[str]:
    """Read the names of the columns of a CSV file; errors as :func:`read_table`."""
    _, header = next(_records(Path(path), ","), (1, []))
    return [name.strip() for name in header]


def read_cell(text: str) -> str | None:
    """Read a cell: its text without outer spaces, or None where that stands for an empty cell."""
    label: str | None = as_label(text)
    return None if label in _NOT_AVAILABLE else label


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each record, and the line of the file on which it ends."""
    with _open(path) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except UnicodeDecodeError as error:
            raise InputError(
                f"table {path} is not UTF-8 text ({error.reason}); save it as CSV in UTF-8"
            ) from None
        except csv.Error as error:
            raise InputError(
                f"table {path}, line {reader.line_num} is not CSV ({error}); copy it again"
            ) from None
        except OSError as error:
            raise InputError(f"table {path} cannot be read ({error.strerror})") from None


def _open(path: Path) -> TextIO:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"table {path} is not a file, but a folder, a pipe or a device")
        if not status.st_size:
            raise InputError(f"table {path} is empty; copy it again")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InputError(f"table {path} cannot be read ({error.strerror})") from None


def find_columns(
    path: Path, header: list[str], columns: Sequence[str], optional: Sequence[str]
) -> dict[str, int]:
    """Find the index of each column that is there, by name, whatever the case.

    Args:
        path: the table, for messages.
        header: its first row.
        columns: names of those that it must have.
        optional: names of those that it may have.

    Raises:
        InputError: the table lacks a column, or has one twice.
    """
    given = [name.strip().lower() for name in header]
    missing = [name for name in columns if name.lower() not in given]
    if missing:
        has = ", ".join(name.strip()[:30] for name in header[:30]) or "no header at all"
        raise InputError(
            f"table {path} has no column {', '.join(missing)} (it has {has}); it may be cut off, "
            "of another release, or have another delimiter"
        )
    wanted = [*columns, *(name for name in optional if name.lower() in given)]
    for name in wanted:
        if given.count(name.lower()) > 1:
            raise InputError(f"table {path} has the column {name} twice; remove one of them")
    return {name: given.index(name.lower()) for name in wanted}
