"""Problems are collected; other errors are not swallowed."""

from pathlib import Path

import pytest

from medmask.converters.contract import Contents, LeftOut
from medmask.converters.problems import collect, leave_out_if_faulty, list_first, missing_files
from medmask.errors import InputError


def test_errors_of_the_user_become_problems():
    contents = Contents()
    with leave_out_if_faulty(contents, "train.csv, line 2"):
        raise InputError("one")
    with collect(contents.problems):
        raise InputError("two")
    with leave_out_if_faulty(contents, "train.csv, line 4"):
        pass
    assert contents.problems == ["one", "two"]
    assert contents.left_out == [LeftOut("train.csv, line 2", "its record has a fault")]


def test_other_errors_go_on():
    contents = Contents()
    with pytest.raises(KeyError), leave_out_if_faulty(contents, "a"):
        raise KeyError("a")
    assert not contents.problems
    assert not contents.left_out


def test_missing_files_are_one_sentence():
    assert missing_files([], 3, Path("index.csv")) == []
    (problem,) = missing_files([Path("a/1.dcm"), Path("a/2.dcm")], 3, Path("index.csv"))
    assert problem.startswith("missing: 2 of the 3 images of index.csv, the first is a/1.dcm;")


def test_of_many_problems_the_first_are_shown():
    assert list_first([]) == []
    assert list_first(["one", "two"], "problem: ") == ["problem: one", "problem: two"]
    lines = list_first([str(number) for number in range(21)], "problem: ", ": the file has all")
    assert lines[19:] == ["problem: 19", "and 1 more problem: the file has all"]
    assert list_first(["one"] * 100_000)[-1] == "and 99980 more problems"
