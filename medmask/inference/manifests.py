"""Manifests: tables that list the images of an archive, one a row, as CSV or Parquet.

A manifest is read row by row each time it is gone through, and its images are not looked at until
they are predicted on, so that a list of millions is planned in seconds.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from medmask.coco import as_id
from medmask.errors import InputError
from medmask.images import split_frame_path
from medmask.inference.prediction_images import (
    PredictionImage,
    file_state,
    image_key,
)
from medmask.inference.result_files import import_pyarrow
from medmask.utils.absolute_paths import absolute_path
from medmask.utils.counts import counted
from medmask.utils.failures import one_line
from medmask.utils.json_files import valid_unicode

MANIFEST_SUFFIXES = (".csv", ".parquet")

PATH, FRAME, IMAGE_ID = "path", "frame", "image_id"
"""Columns: where the image is; which frame of its file; its id, which the results tell."""

_COLUMNS = (PATH, FRAME, IMAGE_ID)
_ROWS_AT_ONCE = 50_000

_FLOATS = "float|double|halffloat"
_TEXT = "(dictionary<values=)?(string|large_string|string_view)(,.*)?"
_NUMBERS = f"u?int[0-9]+|null|{_FLOATS}"
_TYPES = {
    PATH: ("text", _TEXT),
    FRAME: ("whole numbers", f"{_TEXT}|{_NUMBERS}"),
    IMAGE_ID: ("text or whole numbers", f"{_TEXT}|{_NUMBERS}"),
}
"""Of a Parquet file's columns: in words, and as pyarrow names them."""


class ManifestEntry(NamedTuple):
    """A row, of which no more is made than is asked for: of a million, a run takes a part."""

    folder: str
    """absolute, of the manifest"""
    path: str
    frame: int | None
    image_id: str | int | None

    @property
    def key(self) -> str:
        """That of the image."""
        path = absolute_path(os.path.join(self.folder, self.path))
        return image_key(path, self.frame, self.image_id)

    def image(self) -> PredictionImage:
        """Make the image."""
        name = self.path if self.frame is None else f"{self.path}#{self.frame}"
        return PredictionImage(
            Path(self.folder, self.path),
            valid_unicode(name),
            frame=self.frame,
            image_id=self.image_id,
            is_archived=True,
        )


class Manifest:
    """The images of a manifest; each time it is gone through, the file is read anew."""

    def __init__(self, path: str | os.PathLike) -> None:
        """Look at the columns of a manifest.

        Args:
            path: a CSV file in UTF-8 with a line of column names, or a Parquet file. The column
                ``path`` names the images, relative to the manifest's folder where they are
                not absolute; the column ``frame``, or a path such as ``scan.dcm#3``, chooses a
                frame of files of several, counted from 0. The column ``image_id`` is kept in the
                results. Others are passed over.

        Raises:
            InputError: the file cannot be read, has no column ``path`` or one twice, lists no
                image, or is a Parquet file and pyarrow is missing.
        """
        self.path = Path(path)
        self._rows = _csv_rows if self.path.suffix.lower() == ".csv" else _parquet_rows
        self._state = file_state(self.path)
        if next(self._rows(self.path), None) is None:
            raise InputError(
                f"manifest {self.path} lists no image: write one a row below the names of the "
                "columns"
            )

    def __iter__(self) -> Iterator[PredictionImage]:
        """The images in the order of the rows; raises as :meth:`entries`."""
        return (entry.image() for entry in self.entries())

    def entries(self) -> Iterator[ManifestEntry]:
        """The rows in their order.

        Raises:
            InputError: a row names no image or no frame, or the file has changed since the first
                look at it.
        """
        if file_state(self.path) != self._state:
            raise InputError(
                f"manifest {self.path} has changed since this run began: run it again, which does "
                "what is missing"
            )
        folder = absolute_path(self.path.parent)
        for row, (path, frame, image_id) in self._rows(self.path):
            if not path:
                raise InputError(f"manifest {self.path}, row {row}: the column {PATH} is empty")
            if frame is not None:
                frame = self._frame(row, frame)
            if type(image_id) is float:
                raise InputError(
                    f"manifest {self.path}, row {row}: {IMAGE_ID} is {image_id}, but ids are text "
                    "or whole numbers"
                )
            if "#" in path:
                path, frame = self._split(row, folder, path, frame)
            yield ManifestEntry(folder, path, frame, image_id)

    def _split(self, row: int, folder: str, path: str, frame: int | None) -> tuple[str, int | None]:
        """Take ``scan.dcm#3`` for what a row of ``scan.dcm`` and frame 3 means."""
        try:
            file, named = split_frame_path(os.path.join(folder, path), frame)
        except InputError as error:
            raise InputError(f"manifest {self.path}, row {row}: {error}") from None
        is_frame = file.name != os.path.basename(path)
        return (path.rpartition("#")[0] if is_frame else path), named

    def _frame(self, row: int, value: Any) -> int | None:
        if value == "":
            return None
        try:
            frame = int(str(value))  # of 2.7, int alone would make 2
        except ValueError:
            frame = -1
        if frame < 0:
            raise InputError(
                f"manifest {self.path}, row {row}: {FRAME} is '{value}', but frames are whole "
                "numbers from 0 on"
            )
        return frame


_Row = tuple[int, tuple[Any, Any, Any]]
"""Its number, counted from 1, and the cells of :data:`_COLUMNS`; None where there is no column."""


def _csv_rows(path: Path) -> Iterator[_Row]:
    """Lines of a CSV file."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            names = next(lines, [])
            _check_columns(path, names)
            width = len(names)
            # a cell that is always empty stands for each column that there is not
            places = [names.index(name) if name in names else width for name in _COLUMNS]
            take = itemgetter(*places)
            for cells in filter(None, lines):
                if len(cells) != width:
                    raise InputError(
                        f"manifest {path}, row {lines.line_num}: has "
                        f"{counted(len(cells), 'cell')}, but the first row has {width}"
                    )
                cells.append("")
                text, frame, image_id = take(cells)
                yield lines.line_num, (text, frame or None, image_id or None)
    except UnicodeDecodeError as error:
        raise InputError(
            f"manifest {path} is not UTF-8 text ({error.reason}); save it as CSV in UTF-8"
        ) from None
    except (OSError, csv.Error) as error:
        raise _unreadable(path, error) from None


def _parquet_rows(path: Path) -> Iterator[_Row]:
    """Rows of a Parquet file."""
    pyarrow, parquet = import_pyarrow(f"reading {path}")
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(path, names)
            _check_types(path, file.schema_arrow)
            columns = [name for name in _COLUMNS if name in names]
            before = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                lists = [
                    _cells(batch, name) if name in columns else repeat(None) for name in _COLUMNS
                ]
                yield from enumerate(zip(*lists, strict=False), before + 1)
                before += len(batch)
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from None


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if PATH not in names:
        are_joined = len(names) == 1 and re.search("[;\t|]", names[0])
        advice = "name the column of the images so"
        raise InputError(
            f"manifest {path} has no column '{PATH}' (it has {', '.join(names[:8]) or 'none'}): "
            + ("separate columns by commas" if are_joined else advice)
        )
    for name in _COLUMNS:
        if names.count(name) > 1:
            raise InputError(
                f"manifest {path} has several columns '{name}': name all but one otherwise"
            )


def _check_types(path: Path, schema: Any) -> None:
    """Refuse a Parquet file whose columns hold what can be no path, frame or id."""
    for name, (wanted, kinds) in _TYPES.items():
        if name in schema.names and not re.fullmatch(kinds, str(schema.field(name).type)):
            raise InputError(
                f"manifest {path} has a column '{name}' of type {schema.field(name).type}, which "
                f"should be {wanted}: write it so"
            )


def _cells(batch: Any, name: str) -> Iterable[Any]:
    """The cells of a column, whole numbers as such: with gaps, pandas writes them as floats."""
    cells = batch.column(name).to_pylist()
    is_float = re.fullmatch(_FLOATS, str(batch.schema.field(name).type))
    return map(as_id, cells) if is_float else cells


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = one_line(getattr(error, "strerror", None) or error)[:200]
    return InputError(f"manifest {path} cannot be read ({reason}); correct or copy it again")
