"""Findings of EMBED: pathology before BI-RADS, and of the side that it was taken from."""

import pytest
from raw_tables import write_csv

from medmask.converters.contract import Contents
from medmask.converters.embed.findings import (
    Finding,
    breast_is_malignant,
    read_findings,
    region_is_malignant,
)


def finding(birads=None, severity=None, side=None, pathology_side=None) -> Finding:
    return Finding(side, birads, None, severity, pathology_side, ())


@pytest.mark.parametrize(
    ("of_breast", "malignant"),
    [
        ([finding("5", 0)], True),
        ([finding("0", 1), finding("2")], True),
        ([finding("4", 4)], False),
        ([finding("4", 2), finding("1")], False),
        ([finding("3")], False),
        ([finding("0")], None),
        ([finding("4")], None),
        ([finding("4", 6)], None),
        ([finding("2"), finding(None)], None),
        ([], None),
    ],
    ids=range(10),
)
def test_breasts(of_breast, malignant):
    assert breast_is_malignant(of_breast, "L") is malignant


@pytest.mark.parametrize(
    ("of_breast", "malignant"),
    [
        ([finding("5", 0)], True),
        ([finding("5", 0), finding("1")], True),
        ([finding("5", 0), finding("4", 1)], True),
        ([finding("5", 0), finding("4", 4)], None),
        ([finding("5", 0), finding("2")], None),
        ([finding("4", 4), finding("2")], False),
        ([finding("1")], False),
        ([finding("0")], None),
        ([], None),
    ],
    ids=range(9),
)
def test_a_region_is_what_all_marked_findings_are(of_breast, malignant):
    assert region_is_malignant(of_breast, "L") is malignant


def test_pathology_counts_for_its_side():
    of_both = finding("4", 0, pathology_side="L")
    assert of_both.malignant("L") is True
    assert of_both.malignant("R") is None
    assert finding("2", 0, pathology_side="L").malignant("R") is False
    assert of_both.malignant(None) is True


@pytest.mark.parametrize(
    ("side", "image_side", "is_of"),
    [("L", "L", True), ("L", "R", False), (None, "R", True), ("L", None, True)],
)
def test_sides(side, image_side, is_of):
    assert finding(side=side).is_of(image_side) is is_of


def clinical_row(**changes) -> dict:
    row = dict.fromkeys(("side", "asses", "tissueden", "path_severity", "bside", "massshape"))
    return {"empi_anon": "11", "acc_anon": "22", **row, "calcfind": None} | changes


def test_rows(tmp_path):
    write_csv(
        tmp_path / "clinical.csv",
        clinical_row(side="L", asses="A", tissueden=3, massshape="X"),
        clinical_row(
            side="B", asses="S", path_severity=1.0, bside="R", massshape="Q", calcfind="F"
        ),
        clinical_row(acc_anon="33.0", asses="X", tissueden="5.0", massshape="N"),
    )
    contents = Contents()
    findings = read_findings(tmp_path / "clinical.csv", contents)
    assert not contents.problems
    assert findings["11", "22"] == [
        Finding("L", "0", "C", None, None, ("mass",)),
        Finding(None, "4", None, 1, "R", ("architectural distortion", "calcification")),
    ]
    assert findings["11", "33"] == [Finding(None, None, None, None, None, ("lymph node",))]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"side": "left"}, "its side 'left' is none of l, r, b"),
        ({"path_severity": 7}, "path_severity '7' is not a whole number from 0 to 6"),
        ({"path_severity": 0.5}, "is not a whole number from 0 to 6"),
        ({"tissueden": 9}, "its tissueden '9' is none of"),
        ({"asses": "4"}, "its asses '4' is none of"),
        ({"empi_anon": None}, "its empi_anon is empty"),
    ],
    ids=range(6),
)
def test_faulty_rows_are_told(tmp_path, changes, words):
    write_csv(tmp_path / "clinical.csv", clinical_row(**changes), clinical_row(acc_anon="44"))
    contents = Contents()
    findings = read_findings(tmp_path / "clinical.csv", contents)
    assert list(findings) == [("11", "44")]
    assert words in contents.problems[0]
