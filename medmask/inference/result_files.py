"""Files of results: COCO JSON, CSV and Parquet, each whole or not at all, written row by row."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from medmask.utils.files import atomic_write
from medmask.utils.optional_packages import import_optional

DETECTIONS_TABLE = {
    "file_name": str,
    "frame": int,
    "image_id": str,
    "category_id": int,
    "category_name": str,
    "score": float,
    "probability": float,
    "x": float,
    "y": float,
    "width": float,
    "height": float,
}
"""Columns of a row for each detection; boxes in pixels of the stored image.

The probability to lie on a lesion is empty where scores are not calibrated.
"""

IMAGES_TABLE = {
    "file_name": str,
    "frame": int,
    "image_id": str,
    "status": str,
    "error": str,
    "height": int,
    "width": int,
    "detections": int,
    "highest_score": float,
    "probability": float,
}
"""Columns of a row for each image, with its probability to have a lesion, if it is calibrated."""

_ROWS_AT_ONCE = 20_000  # of a Parquet file's row group


class RowWriter(Protocol):
    """Something that takes rows, as values by their columns; None where there is none."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row."""


@contextlib.contextmanager
def open_json(path: Path) -> Iterator[RowWriter]:
    """Write a JSON list of objects, as ``json.dump(..., indent=1)`` does."""
    with atomic_write(path, "w") as file:
        writer = _JsonWriter(file)
        yield writer
        writer.close()


@contextlib.contextmanager
def open_csv(path: Path, columns: Mapping[str, type]) -> Iterator[RowWriter]:
    """Write a CSV file with a line of column names."""
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield _CsvWriter(writer, columns)


@contextlib.contextmanager
def open_parquet(path: Path, columns: Mapping[str, type]) -> Iterator[RowWriter]:
    """Write a Parquet file.

    Raises:
        InputError: pyarrow is not installed.
    """
    pyarrow, parquet = import_pyarrow(f"writing {path}")
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with atomic_write(path) as file, parquet.ParquetWriter(file, schema) as output:
        writer = _ParquetWriter(
            lambda rows: output.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
        )
        yield writer
        writer.flush()


def import_pyarrow(purpose: str) -> tuple[Any, Any]:
    """Import pyarrow and pyarrow.parquet.

    Args:
        purpose: what needs it, as the beginning of a sentence.

    Raises:
        InputError: it is not installed.
    """
    pyarrow, parquet = (
        import_optional(name, f"{purpose} needs", "parquet")
        for name in ("pyarrow", "pyarrow.parquet")
    )
    return pyarrow, parquet


class _JsonWriter:
    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._is_empty = True

    def write(self, row: Mapping[str, Any]) -> None:
        text = json.dumps([row], indent=1, allow_nan=False)[1:-2]
        self._file.write(("[" if self._is_empty else ",") + text)
        self._is_empty = False

    def close(self) -> None:
        self._file.write("[]\n" if self._is_empty else "\n]\n")


class _CsvWriter:
    def __init__(self, writer: Any, columns: Mapping[str, type]) -> None:
        self._writer, self._columns = writer, columns

    def write(self, row: Mapping[str, Any]) -> None:
        self._writer.writerow([row[name] for name in self._columns])


class _ParquetWriter:
    def __init__(self, write: Callable[[Sequence[Mapping[str, Any]]], None]) -> None:
        self._write = write
        self._rows: list[Mapping[str, Any]] = []

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._write(self._rows)
        self._rows = []
