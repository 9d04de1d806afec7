"""Lists in the cells of tables; what is no list is refused, and nothing is evaluated."""

import time
from pathlib import Path

import pytest

from medmask.converters.list_cells import read_boxes, read_names
from medmask.converters.tables import Row
from medmask.errors import InputError


def cell(text):
    return Row(Path("index.csv"), 2, {"a": text or None})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("['Mass']", ["Mass"]),
        ("['Suspicious Calcification', 'Mass']", ["Suspicious Calcification", "Mass"]),
        ("[\"Paget's disease\",'Mass',]", ["Paget's disease", "Mass"]),
        ("[]", []),
        ("", []),
    ],
)
def test_names(text, names):
    assert read_names(cell(text), "a") == names


@pytest.mark.parametrize("text", ["Mass", "['Mass'", "[Mass]", "['a' 'b']", "__import__('os')"])
def test_what_are_no_names(text):
    with pytest.raises(InputError, match="no list of names"):
        read_names(cell(text), "a")


@pytest.mark.parametrize("start", ["[", "['a'", "['a',"])
def test_long_rows_of_spaces_take_no_time(start):
    begin = time.process_time()
    with pytest.raises(InputError, match="no list of names"):
        read_names(cell(start + " " * 50_000 + "x"), "a")
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("((1, 2, 3, 4), (5, 6, 7.5, 8))", [(1, 2, 3, 4), (5, 6, 7.5, 8)]),
        ("((1, 2, 3, 4),)", [(1, 2, 3, 4)]),
        (
            "[[[1, 2, 3, 4]], [[5, 6, 7, 8], [-9, 1, 2, 3]]]",
            [(1, 2, 3, 4), (5, 6, 7, 8), (-9, 1, 2, 3)],
        ),
        ("(1, 2, 3, 4)", [(1, 2, 3, 4)]),
        ("()", []),
        ("", []),
    ],
)
def test_boxes(text, boxes):
    assert read_boxes(cell(text), "a") == boxes


@pytest.mark.parametrize(
    "text",
    [
        "((1, 2, 3),)",
        "(1, 2, 3, 4, 5)",
        "((1, 2, 3, 4)",
        "1",
        "((1, 2, 3, 1e999),)",
        "()()",
        "(" * 60_000 + ")" * 60_000,
        "((1, 2, 3, nan),)",
        "print(1)",
        "((1, 2, 3, (4,)),)",
    ],
    ids=range(10),
)
def test_what_are_no_boxes(text):
    with pytest.raises(InputError, match="no list of boxes"):
        read_boxes(cell(text), "a")
