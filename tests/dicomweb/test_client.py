"""Searches page by page, and answers that are not what was asked for."""

import json

import pytest
from fake_archive import body

from medmask.dicomweb.client import DicomwebClient, InstanceName
from medmask.dicomweb.connection import Connection, ConnectionOptions
from medmask.dicomweb.errors import RefusedError
from medmask.dicomweb.study_filter import StudyFilter

EVERYBODY = StudyFilter(patient_id="*")
JSON = "application/dicom+json"


@pytest.fixture
def client(archive):
    options = ConnectionOptions(timeout=30, retries=0)
    return DicomwebClient(Connection(archive.url, options=options))


def answer_studies(archive, make_page):
    """Answer searches of studies with the UIDs that a function gives for limit and offset."""

    def answer(handler):
        query = dict(pair.split("=") for pair in handler.path.partition("?")[2].split("&"))
        page = make_page(int(query["limit"]), int(query["offset"]))
        datasets = [{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in page]
        handler.reply(200, JSON, json.dumps(datasets).encode())
        return True

    archive.misbehavior["GET", "studies"] = answer


UIDS = [f"1.2.{number}" for number in range(1201)]


@pytest.mark.parametrize("own_limit", [1000, 500, 499, 100])
@pytest.mark.parametrize("count", [0, 1, 500, 1201])
def test_pages(archive, client, own_limit, count):
    def page(limit, offset):
        return UIDS[:count][offset : offset + min(limit, own_limit)]

    answer_studies(archive, page)
    assert list(client.find_studies(EVERYBODY).matches) == UIDS[:count]


def test_archive_that_gives_all_at_once(archive, client):
    answer_studies(archive, lambda limit, offset: UIDS[:400])
    assert list(client.find_studies(EVERYBODY).matches) == UIDS[:400]


def test_archive_that_gives_its_first_page_again(archive, client):
    answer_studies(archive, lambda limit, offset: UIDS[:limit])
    with pytest.raises(RefusedError, match=r"again and again.*narrow the dates"):
        client.find_studies(EVERYBODY)


def test_pages_that_overlap_give_each_study_once(archive, client):
    answer_studies(archive, lambda limit, offset: UIDS[:40][max(0, offset - 1) : offset + 3])
    assert client.find_studies(EVERYBODY).matches == tuple(UIDS[:40])


@pytest.mark.parametrize("uid", ["../../x", "", None, 3.5, {"a": 1}, "1.2/../3", "P^SECRET"])
def test_identifiers_that_are_none(archive, client, uid):
    answer_studies(archive, lambda limit, offset: [] if offset else ["1.2", uid])
    found = client.find_studies(EVERYBODY)
    if uid == 3.5:  # as careless as it is readable
        assert found.matches == ("1.2", "3.5")
        return
    assert found.matches == ("1.2",)
    (problem,) = found.problems
    assert "left out 1 match without an identifier (0020,000D)" in problem
    assert "SECRET" not in problem


@pytest.mark.parametrize(
    "content",
    [b"{", b"3", b"[3]", b'"x"', b"\xff", b"[" * 100_000, b"<html>SECRET</html>"],
    ids=["cut", "number", "numbers", "text", "bytes", "deep", "html"],
)
def test_answers_that_are_no_datasets(archive, client, content):
    archive.misbehavior["GET", "studies"] = body(content, JSON)
    with pytest.raises(RefusedError, match="studies: the archive answered something else") as error:
        client.find_studies(EVERYBODY)
    assert "SECRET" not in str(error.value)


def test_no_content(archive, client):
    archive.misbehavior["GET", "studies"] = lambda handler: handler.reply(204) is None
    assert client.find_studies(EVERYBODY).matches == ()


NAME = InstanceName("1.2", "1.2.3", "1.2.3.4")


def test_retrieved_as_it_is(archive, client):
    archive.misbehavior["GET", NAME.path] = body(b"DICM", "application/dicom")
    assert client.retrieve(NAME) == b"DICM"
    archive.misbehavior["GET", NAME.path] = lambda h: h.reply_parts([b"\r\n--"]) is None
    assert client.retrieve(NAME) == b"\r\n--"


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_parts(archive, client, count):
    archive.misbehavior["GET", NAME.path] = lambda h: h.reply_parts([b"x"] * count) is None
    words = "none in it|answered 0 parts" if not count else "answered 2 parts"
    with pytest.raises(RefusedError, match=words):
        client.retrieve(NAME)


def test_parts_of_another_kind(archive, client):
    content = b"--b\r\nContent-Type: text/html\r\n\r\nx\r\n--b--"
    archive.misbehavior["GET", NAME.path] = body(content, "multipart/related; boundary=b")
    with pytest.raises(RefusedError, match="instead of one DICOM object"):
        client.retrieve(NAME)


@pytest.mark.parametrize(
    ("content", "content_type", "words"),
    [
        (b"<xml/>", "application/dicom+xml", None),
        (b"{}", JSON, None),
        (b'{"00081198": {"vr": "SQ"}}', JSON, None),
        (b'{"00081198": {"vr": "SQ", "Value": [{"00081155": {"Value": ["9"]}}]}}', JSON, None),
        (
            b'{"00081198": {"vr": "SQ", "Value": [{"00081155": {"Value": ["1.5"]}, '
            b'"00081197": {"Value": [272]}}]}}',
            JSON,
            r"does not take the object 1.5 \(failure reason 0110H\)",
        ),
        (
            b'[{"00081198": {"Value": [{"00081155": {"Value": ["1.5"]}}]}}]',
            JSON,
            r"does not take the object 1.5 \(no reason\)",
        ),
        (b"junk", JSON, "something else than DICOM's JSON"),
    ],
    ids=["xml", "empty", "no failure", "another", "failed", "no reason", "junk"],
)  # fmt: skip
def test_answers_to_an_object(archive, client, content, content_type, words):
    archive.misbehavior["POST", "studies/1.2"] = body(content, content_type)
    if words is None:
        client.store("1.2", "1.5", b"DICM")
    else:
        with pytest.raises(RefusedError, match=words):
            client.store("1.2", "1.5", b"DICM")
