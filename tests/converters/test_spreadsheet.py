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


def test_entities_are_refused(path):
    write_xlsx(path, {"first": TABLE})
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><x>&a;</x>'
    damaged = path.with_name("bomb.xlsx")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            target.writestr(name, bomb if name == "xl/workbook.xml" else source.read(name))
    with pytest.raises(InputError, match="entities"):
        read(damaged, ["ID1"])
