"""Conditions on studies: their forms, and what meets them."""

import pytest

from medmask.dicomweb.study_filter import StudyFilter
from medmask.errors import InputError

STUDY = {
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "00080020": {"vr": "DA", "Value": ["20260115"]},
    "00100020": {"vr": "LO", "Value": ["P1 "]},
    "00080050": {"vr": "SH", "Value": ["A[1]"]},
    "00080061": {"vr": "CS", "Value": ["SR", "MG"]},
}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"study_date": "20260115"}, True),
        ({"study_date": "20260114"}, False),
        ({"study_date": "20260101-20260115"}, True),
        ({"study_date": "20260115-20260115"}, True),
        ({"study_date": "20260116-"}, False),
        ({"study_date": "20260115-"}, True),
        ({"study_date": "-20260115"}, True),
        ({"study_date": "-20260114"}, False),
        ({"patient_id": "P1"}, True),
        ({"patient_id": "P*"}, True),
        ({"patient_id": "P?"}, True),
        ({"patient_id": "p1"}, False),
        ({"patient_id": "P"}, False),
        ({"patient_id": "P[1]"}, False),
        ({"accession_number": "A[1]"}, True),
        ({"accession_number": "A1"}, False),
        ({"study_uid": "1.2"}, True),
        ({"study_uid": "1.3"}, False),
        ({"study_uid": "1.2", "patient_id": "P2"}, False),
    ],
    ids=str,
)
def test_conditions(conditions, expected):
    assert StudyFilter(**conditions).has(STUDY) is expected


@pytest.mark.parametrize("element", [{"vr": "CS"}, {"vr": "CS", "Value": []}, None, 3])
def test_what_a_study_leaves_out_is_not_held_against_it(element):
    everything = StudyFilter("20260115", "P1", "A[1]", None)
    for tag in STUDY:
        assert everything.has(STUDY | {tag: element})


def test_backslash_in_an_identifier_of_a_patient_is_a_part_of_it():
    """It makes two values of one."""
    study = STUDY | {"00100020": {"vr": "LO", "Value": ["A", "17 "]}}
    assert StudyFilter(patient_id="A\\17").has(study)
    assert not StudyFilter(patient_id="A").has(study)


def test_studies_of_other_modalities():
    other = STUDY | {"00080061": {"vr": "CS", "Value": ["CT", "SR"]}}
    assert not StudyFilter(patient_id="P1").has(other)


def test_query():
    wanted = StudyFilter("20260101-", "P*", "A", "1.2")
    assert wanted.query() == {
        "StudyDate": "20260101-",
        "PatientID": "P*",
        "AccessionNumber": "A",
        "StudyInstanceUID": "1.2",
    }
    assert StudyFilter(patient_id="P").query() == {"PatientID": "P"}


@pytest.mark.parametrize(
    "date",
    [
        "", "-", "2026", "2026-01-01", "20260101-2026", "20260230", "20260101-20260230", "today",
        "20260102-20260101", "2026010120260102", "٢٠٢٦٠١٠١",
    ],
)  # fmt: skip
def test_dates_that_are_none(date):
    with pytest.raises(InputError, match=r"study date|give the dates"):
        StudyFilter(study_date=date)


@pytest.mark.parametrize("uid", ["..", "1..2", "1.2.", "a", "1/2", "1" * 65, "1.2\n"])
def test_uids_that_are_none(uid):
    with pytest.raises(InputError, match="is not a Study Instance UID"):
        StudyFilter(study_uid=uid)


@pytest.mark.parametrize("condition", ["patient_id", "accession_number"])
def test_empty_conditions_are_refused(condition):
    """As of a variable of the shell that is not set: they would hold for no study."""
    for value in ("", " "):
        with pytest.raises(InputError, match="to look for is empty: give one, or leave it out"):
            StudyFilter(study_date="20260101-", **{condition: value})
