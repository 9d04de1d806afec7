import json
import math
import os
from pathlib import Path

import pytest

from medmask.errors import InputError
from medmask.utils.json_files import (
    finite_values,
    parse_json,
    parse_object,
    read_json,
    show,
    valid_unicode,
)


@pytest.fixture
def write(tmp_path):
    def write_bytes(content: bytes):
        path = tmp_path / "some.json"
        path.write_bytes(content)
        return path

    return write_bytes


CONTENT = {"a": [1, 2.5, None, True], "é\U0001f600": float("inf")}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_any_unicode_encoding_is_read(write, encoding, ascii_only):
    text = json.dumps(CONTENT, ensure_ascii=ascii_only)
    assert read_json(write(text.encode(encoding)), "file") == CONTENT


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"images": [{"id": 1},\n {"id": 2', r"is cut off at line 2, column \d+ \(offset 32\)"),
        (b'{"images": [{"id": 1, "file_na', r"is cut off at line 1, column 23"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"images": [}, "annotations": []}', r"is not valid JSON at line 1.*offset 12"),
        (b"{} {}", "is not valid JSON"),
        (b'{"images": "\xff\xfe"}', "is not UTF-8 text"),
        (b"\xff\xfe[\0]", "is not UTF-8 text"),
        (b"[" * 50_000 + b"]" * 50_000, "is nested too deeply"),
        (b'{"a": ' * 50_000, "is nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "a number of thousands of digits"),
        (b'["\\ud800"]', "half a character"),
        (b'{"\\uDC00x": 1}', "half a character"),
        (b'{"a": [{"id": 1, "b": 2, "id": 3}]}', 'key "id" more than once'),
    ],
)
def test_what_cannot_be_read_is_refused(write, content, expected):
    path = write(content)
    with pytest.raises(InputError, match=expected) as error:
        read_json(path, "annotation file")
    assert str(error.value).startswith(f"annotation file {path} ")
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path, tmp_path / "pipe.json", "/dev/zero"):
        with pytest.raises(InputError, match=f"^file {path} is not a file, but a folder"):
            read_json(path, "file")
    for name in ("absent.json", "x" * 300, "a\0b"):
        with pytest.raises(InputError, match="cannot be read"):
            read_json(tmp_path / name, "file")


def test_names_of_any_bytes_become_valid_unicode():
    """Whatever the encoding of this machine's file names, which a name of another may not fit."""
    name = os.fsdecode(b"\xff\xfe.png")
    assert (
        valid_unicode(Path("é →", name))
        == "é →/\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.png"
    )
    assert valid_unicode("\ud800") == "\N{REPLACEMENT CHARACTER}"


def test_numbers_that_are_not_finite_become_null():
    values = {"a": [math.nan, 1.5, (math.inf, 2)], "b": {"c": -math.inf, "d": "nan", "e": None}}
    assert finite_values(values) == {
        "a": [None, 1.5, [None, 2]],
        "b": {"c": None, "d": "nan", "e": None},
    }


def test_values_in_errors_are_as_they_are_written():
    assert show("Masse groß") == '"Masse groß"'
    assert show("a\nb") == '"a\\nb"'
    with pytest.raises(InputError, match='the key "größe" more than once'):
        parse_json('{"größe": 1, "größe": 2}'.encode(), "x.json", "file")


@pytest.mark.parametrize("data", [b"", b'{"a": 1', b"[1]", b"\xff{}", b'{"a":' * 100_000])
def test_what_is_no_object_is_none(data):
    assert parse_object(data) is None
