"""Spreadsheets (.xlsx) as tables of text: the cells of one sheet, and nothing else of the file.

An .xlsx file is an archive of XML files (ECMA-376, part 1, chapter 18). Values are read as they are
stored; formulas, styles and links are not looked at, and nothing is executed or unpacked to disk.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from medmask.converters.tables import Row, find_columns, read_cell, read_table
from medmask.errors import InputError
from medmask.images.error_text import describe_error

_LARGEST_PART = 64 * 2**20  # bytes of one XML file; those of the data sets have some megabytes
_MOST_COLUMNS = 16384  # of the format
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_RELATIONSHIP = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6})")
_NOT_XLSX = (
    *(KeyError, ValueError, IndexError, EOFError, RuntimeError),
    *(ElementTree.ParseError, zipfile.BadZipFile, zlib.error),
)


def read_sheet(
    path: Path, columns: Sequence[str], optional: Sequence[str] = (), *, sheet: str | None = None
) -> Iterator[Row]:
    """Read some columns of a table, row by row; empty rows are passed over.

    Args:
        path: an .xlsx file whose table begins in the first row, or a CSV file.
        columns: names of those that it must have.
        optional: names of those that it may have.
        sheet: the name of the sheet; the first one if it is None. A CSV file has no sheets.

    Raises:
        InputError: the file is neither, or lacks the sheet or a column.
    """
    if path.suffix.lower() == ".csv":
        yield from read_table(path, columns, optional)
        return
    rows = _read_rows(path, sheet)
    _, first = next(rows, (1, {}))
    header = [first.get(index, "") for index in range(max(first, default=-1) + 1)]
    indices = find_columns(path, header, columns, optional)
    for line, cells in rows:
        values = {name: read_cell(cells.get(index, "")) for name, index in indices.items()}
        if any(value is not None for value in values.values()):
            yield Row(path, line, {**dict.fromkeys(optional), **values})


def _read_rows(path: Path, sheet: str | None) -> Iterator[tuple[int, dict[int, str]]]:
    """(number from 1, its cells by their column) of each row that the file holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            texts = _shared_texts(path, archive)
            root = _parse(path, archive, _sheet_part(path, archive, sheet))
            for number, row in enumerate(root.iter(f"{_MAIN}row"), 1):
                yield int(row.get("r", number)), _read_cells(row, texts)
    except OSError as error:
        raise InputError(f"spreadsheet {path} cannot be read ({error.strerror})") from None
    except _NOT_XLSX as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"spreadsheet {path} cannot be read as .xlsx ({describe_error(error)}); save it as "
            ".xlsx or .csv again"
        ) from None


def _sheet_part(path: Path, archive: zipfile.ZipFile, sheet: str | None) -> str:
    """The name of the XML file of a sheet."""
    workbook = _parse(path, archive, "xl/workbook.xml")
    sheets = {s.get("name", ""): s.get(_RELATION) for s in workbook.iter(f"{_MAIN}sheet")}
    if not sheets or (sheet is not None and sheet not in sheets):
        raise InputError(
            f"spreadsheet {path} has no sheet {sheet!r} (it has {', '.join(sheets) or 'none'}); it "
            "may be of another release"
        )
    wanted = sheets[sheet] if sheet is not None else next(iter(sheets.values()))
    relations = _parse(path, archive, "xl/_rels/workbook.xml.rels")
    targets = {r.get("Id"): r.get("Target", "") for r in relations.iter(_RELATIONSHIP)}
    target = targets[wanted]
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _shared_texts(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """The texts that cells name by their index; a file may have none."""
    part = "xl/sharedStrings.xml"
    if part not in archive.namelist():
        return []
    items = _parse(path, archive, part).iter(f"{_MAIN}si")
    return [_text(item) for item in items]


def _read_cells(row: ElementTree.Element, texts: list[str]) -> dict[int, str]:
    cells: dict[int, str] = {}
    end = 0  # behind the last cell so far
    for cell in row.iter(f"{_MAIN}c"):
        reference = _REFERENCE.fullmatch(cell.get("r", ""))
        index = _column_index(reference[1]) if reference else end
        if index >= _MOST_COLUMNS:
            raise ValueError("a cell beyond the last column of the format")
        cells[index] = _cell_text(cell, texts)
        end = max(end, index + 1)
    return cells


def _cell_text(cell: ElementTree.Element, texts: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{_MAIN}v") or ""
    if cell.get("t") == "s":
        if int(value) < 0:  # which Python would count from the end
            raise ValueError("a cell names a shared text by a negative number")
        return texts[int(value)]
    if cell.get("t") is None or cell.get("t") == "n":  # a number, which may end with .0
        return re.sub(r"\.0+$", "", value)
    return value


def _text(item: ElementTree.Element) -> str:
    """The text of an item, whose parts may differ in font; phonetic hints are no part of it."""
    direct = item.findall(f"{_MAIN}t") + item.findall(f"{_MAIN}is/{_MAIN}t")
    runs = item.findall(f"{_MAIN}r/{_MAIN}t") + item.findall(f"{_MAIN}is/{_MAIN}r/{_MAIN}t")
    return "".join(part.text or "" for part in [*direct, *runs])


def _column_index(letters: str) -> int:
    """0 for A, 25 for Z, 26 for AA."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _parse(path: Path, archive: zipfile.ZipFile, part: str) -> ElementTree.Element:
    """Parse one XML file of the archive.

    Its size is limited before it is unpacked, and document types, by which a small file can ask for
    all memory, are refused.
    """
    if archive.getinfo(part).file_size > _LARGEST_PART:
        raise InputError(f"spreadsheet {path} has a part of more than 64 MB; save it as .csv")
    with archive.open(part) as file:
        content = file.read(_LARGEST_PART + 1)
    builder = _BuilderWithoutDocumentType(path)
    return ElementTree.fromstring(content, ElementTree.XMLParser(target=builder))


class _BuilderWithoutDocumentType(ElementTree.TreeBuilder):
    """Refuses a document type, in whatever encoding it is written."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def doctype(self, *_: str | None) -> None:
        raise InputError(
            f"spreadsheet {self._path} has XML with entities, which is refused; save it as .csv"
        )
