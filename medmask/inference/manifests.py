"""Manifests: tables that list the images of an archive, one a row, as CSV or Parquet.

A manifest is read row by row each time it is gone through, and its images are not looked at until
they are predicted on, so that a list of millions is planned in seconds.
"""

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.inference.prediction_images import PredictionImage, stated_name
from medmask.inference.result_files import import_pyarrow

MANIFEST_SUFFIXES = (".csv", ".parquet")

PATH, FRAME, IMAGE_ID = "path", "frame", "image_id"
"""Columns: where the image is; which frame of its file; its id, which the results tell."""

_ROWS_AT_ONCE = 50_000


class Manifest:
    """The images of a manifest; each time it is gone through, the file is read anew."""

    def __init__(self, path: str | os.PathLike) -> None:
        """Look at the columns of a manifest.

        Args:
            path: a CSV file in UTF-8 with a line of column names, or a Parquet file. The column
                ``path`` names the images, relative to the manifest's folder where they are
                not absolute; the column ``frame`` chooses a frame of files of several, counted
                from 0. The column ``image_id`` is kept in the results. Others are passed over.

        Raises:
            InputError: the file cannot be read, has no column ``path``, or is a Parquet file and
                pyarrow is missing.
        """
        self.path = Path(path)
        self._rows = _csv_rows if self.path.suffix.lower() == ".csv" else _parquet_rows
        for _ in self._rows(self.path):
            break

    def __iter__(self) -> Iterator[PredictionImage]:
        """The images in the order of the rows.

        Raises:
            InputError: a row names no image or no frame.
        """
        folder = os.path.abspath(self.path.parent)
        for row, values in self._rows(self.path):
            text = values[PATH]
            if not text:
                raise InputError(f"manifest {self.path}, row {row}: the column {PATH} is empty")
            frame = self._frame(row, values.get(FRAME))
            yield PredictionImage(
                Path(folder, text),
                stated_name(text if frame is None else f"{text}#{frame}"),
                frame=frame,
                image_id=values.get(IMAGE_ID),
                is_archived=True,
            )

    def _frame(self, row: int, value: Any) -> int | None:
        if value in (None, ""):
            return None
        try:
            frame = int(value)
        except ValueError:
            frame = -1
        if frame < 0:
            raise InputError(
                f"manifest {self.path}, row {row}: {FRAME} is '{value}', but frames are whole "
                "numbers from 0 on"
            )
        return frame


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Lines of a CSV file, counted from 1, and their cells."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            names = next(lines, [])
            columns = _check_columns(path, names)
            for cells in lines:
                if len(cells) != len(names):
                    if not cells:
                        continue
                    raise InputError(
                        f"manifest {path}, row {lines.line_num}: has {len(cells)} cells, but there "
                        f"are {len(names)} columns"
                    )
                yield (
                    lines.line_num,
                    {name: cells[index] or None for name, index in columns.items()},
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of a Parquet file, counted from 1, and their cells."""
    pyarrow, parquet = import_pyarrow(f"reading {path}")
    try:
        with parquet.ParquetFile(path) as file:
            columns = list(_check_columns(path, file.schema_arrow.names))
            row = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                lists = [column.to_pylist() for column in batch.columns]
                for cells in zip(*lists, strict=True):
                    row += 1
                    yield row, dict(zip(batch.schema.names, cells, strict=True))
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from None


def _check_columns(path: Path, names: list[str]) -> dict[str, int]:
    """The places of the columns that are read."""
    if PATH not in names:
        raise InputError(
            f"manifest {path} has no column '{PATH}' (it has {', '.join(names[:8]) or 'none'}): "
            "name the column of the images so"
        )
    return {name: names.index(name) for name in (PATH, FRAME, IMAGE_ID) if name in names}


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
    return InputError(f"manifest {path} cannot be read ({reason}); correct or copy it again")
