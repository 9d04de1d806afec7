import time
import zipfile

import pytest
from spreadsheets import write_xlsx

from medmask.converters.spreadsheet import read_sheet
from medmask.errors import InputError

TABLE = [["ID1", "Age ", "class"], ["D1-0001", 44, "Benign"], ["D1-0002", None, "Malignant & <x>"]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.xlsx"


def read(path, *args, **options):
    return [row.cells for row in read_sheet(path, *args, **options)]


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "shared"])
def test_cells(path, inline):
    write_xlsx(path, {"first": TABLE}, inline=inline)
    assert read(path, ["id1", "age"], ["class", "other"]) == [
        {"id1": "D1-0001", "age": "44", "class": "Benign", "other": None},
        {"id1": "D1-0002", "age": None, "class": "Malignant & <x>", "other": None},
    ]


def test_sheet_by_name(path):
    write_xlsx(path, {"readme": [["text"]], "all": TABLE})
    assert [cells["ID1"] for cells in read(path, ["ID1"], sheet="all")] == ["D1-0001", "D1-0002"]
    with pytest.raises(InputError, match=r"has no sheet 'other' \(it has readme, all\)"):
        read(path, ["ID1"], sheet="other")


def test_csv_of_the_same_table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("ID1,Age\nD1-0001,44\n")
    assert read(path, ["ID1"], sheet="all") == [{"ID1": "D1-0001"}]


def test_rows_know_their_line(path):
    write_xlsx(path, {"first": [TABLE[0], [None, None, None], TABLE[1]]})
    (row,) = read_sheet(path, ["ID1"])
    assert row.line == 3


def test_missing_column(path):
    write_xlsx(path, {"first": TABLE})
    with pytest.raises(InputError, match=r"table.xlsx has no column LeftRight \(it has ID1"):
        read(path, ["LeftRight"])


def test_not_a_spreadsheet(path):
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match=r"cannot be read as \.xlsx"):
        read(path, ["ID1"])
    path.unlink()
    with pytest.raises(InputError, match="No such file"):
        read(path, ["ID1"])


def test_damaged_spreadsheets(path):
    write_xlsx(path, {"first": TABLE * 20})
    content, refused = path.read_bytes(), 0
    for place in range(0, len(content), 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            read(path, ["ID1"])
        except InputError:
            refused += 1
    assert refused > 100


def replace_part(path, part, content):
    """Put other bytes in the place of a part of a spreadsheet."""
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w") as target:
        for name, before in parts.items():
            target.writestr(name, content if name == part else before)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(path, encoding):
    write_xlsx(path, {"first": TABLE})
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><x>&a;</x>'
    replace_part(path, "xl/workbook.xml", bomb.encode(encoding))
    with pytest.raises(InputError, match="entities"):
        read(path, ["ID1"])


def test_shared_texts_are_not_counted_from_the_end(path):
    write_xlsx(path, {"first": TABLE})
    with zipfile.ZipFile(path) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").replace(b"<v>3</v>", b"<v>-3</v>")
    replace_part(path, "xl/worksheets/sheet1.xml", sheet)
    with pytest.raises(InputError, match="negative number"):
        read(path, ["ID1"])


def test_rows_far_to_the_right_take_no_memory(path):
    write_xlsx(path, {"first": TABLE})
    with zipfile.ZipFile(path) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    row = b'<row><c r="XFD9"><v>1</v></c><c r="A9"><v>7</v></c></row>'
    sheet = sheet.replace(b"</sheetData>", row * 20_000 + b"</sheetData>")
    replace_part(path, "xl/worksheets/sheet1.xml", sheet)
    begin = time.process_time()
    assert len(read(path, ["ID1"])) == 20_002
    assert time.process_time() - begin < 2
