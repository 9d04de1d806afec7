"""Index tables: what spreadsheets leave of them is read; what is no table is refused."""

import pytest

from medmask.converters.tables import read_header, read_table
from medmask.errors import InputError


@pytest.fixture
def write_table(tmp_path):
    def write(content: bytes | str):
        path = tmp_path / "index.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read_cell(path, column="a"):
    (row,) = read_table(path, [column])
    return row


@pytest.mark.parametrize(
    "content",
    [
        b"id,a\n1,x\n2,\n",
        b"\xef\xbb\xbfid,a\r\n1,x\r\n2,\r\n",
        b" ID ,other, A\n\n1,?, x \n2,?,nan\n\n",
        b'"id","a"\r1,"x"\r2,NaN\r',
        b'"id","a"\n1,"x"\n2, NA\n',
        b"id,a\n1,x\n2,N/A\n",
    ],
    ids=[
        *("plain", "byte order mark and CRLF", "spaces, case and more columns", "quotes and CR"),
        *("as R writes it", "not applicable"),
    ],
)
def test_rows_as_spreadsheets_leave_them(write_table, content):
    rows = list(read_table(write_table(content), ["id", "a"], ["b"]))
    assert [(row["id"], row["a"], row["b"]) for row in rows] == [
        ("1", "x", None),
        ("2", None, None),
    ]


def test_a_row_knows_its_line(write_table):
    rows = list(read_table(write_table('a\n"two\nlines"\n\nx\n'), ["a"]))
    assert [row.line for row in rows] == [3, 5]


def test_another_delimiter(write_table):
    (row,) = read_table(write_table("id;a\n1;2,5\n"), ["id", "a"], delimiter=";")
    assert row["a"] == "2,5"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "has no column a, b"),
        (b"a;b\n1;2\n", "has no column a, b (it has a;b)"),
        (b"a,c\n1,2\n", "has no column b (it has a, c)"),
        (b"a,b,A\n1,2,3\n", "has the column a twice"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 cell,"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 cells"),
        (b"a,b\n1\n", "line 2 has 1 cell,"),
        (b"a,b\n1,\xe9\n", "is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text"),
        (b'a,b\n1,"2\n', "is not CSV"),
        (b"a,b\n1," + b"x" * 200_000, "is not CSV"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_no_such_table(write_table, content, words):
    path = write_table(content)
    with pytest.raises(InputError) as caught:
        list(read_table(path, ["a", "b"]))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_or_no_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        list(read_table(tmp_path / "index.csv", ["a"]))
    with pytest.raises(InputError, match="not a file"):
        list(read_table(tmp_path, ["a"]))


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12.0), (" -1.5e2 ", -150.0), ("", None), ("nan", None)],
)
def test_numbers(write_table, text, number):
    assert read_cell(write_table(f"id,a\n1,{text}\n")).number("a") == number


@pytest.mark.parametrize("text", ["x", "inf", "1e999", "1_000", "1 2", "0x10"])
def test_what_is_no_number(write_table, text):
    with pytest.raises(InputError, match=r"line 2: its a .* is not a finite number"):
        read_cell(write_table(f"id,a\n1,{text}\n")).number("a")


@pytest.mark.parametrize(
    ("text", "identifier"), [("12.0", "12"), ("12", "12"), ("1.5", "1.5"), ("a-1", "a-1")]
)
def test_identifiers(write_table, text, identifier):
    assert read_cell(write_table(f"id,a\n1,{text}\n")).identifier("a") == identifier


@pytest.mark.parametrize(
    "text", ["../x", "..", "a/b", "a\\b", '"a\nb"', "\0", "9" * 400], ids=range(7)
)
def test_an_identifier_is_no_path(write_table, text):
    with pytest.raises(InputError, match="cannot be part of a file name"):
        read_cell(write_table(f"id,a\n1,{text}\n")).identifier("a")


def test_choices(write_table):
    row = read_cell(write_table("id,a\n1,Left\n"))
    assert row.choice("a", {"left": "L", "right": "R"}) == "L"
    with pytest.raises(InputError, match=r"'Left' is none of l, r; .* another release"):
        row.choice("a", {"l": "L", "r": "R"})


def test_header(write_table):
    assert read_header(write_table("\ufeffid, a \n1,2\n")) == ["id", "a"]
    assert read_header(write_table("\n")) == []
