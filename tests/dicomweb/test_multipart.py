"""Messages of several parts, also those that are broken in every way."""

from email import message_from_bytes

import pytest

from medmask.dicomweb.errors import RefusedError
from medmask.dicomweb.multipart import Part, media_type_of, read_parts, write_message

HEADER = 'multipart/related; type="application/dicom"; boundary="a b"'
FIRST = b"--a b\r\nContent-Type: application/DICOM; transfer-syntax=1.2\r\nX: y\r\n\r\n"
BINARY = bytes(range(256)) + b"\r\n--\r\n\r\n--a"  # what looks like a boundary and is none


@pytest.mark.parametrize("content", [b"", b"\r\n", BINARY, b"\0" * 100_000], ids=len)
def test_what_is_written_is_read(content):
    parts = [Part("application/dicom", content), Part("application/dicom", b"other")]
    assert read_parts(*write_message(parts)) == parts


@pytest.mark.parametrize("content", [b"x", BINARY], ids=["short", "binary"])
def test_what_is_written_is_what_the_standard_library_reads(content):
    header, body = write_message([Part("application/dicom", content)])
    message = message_from_bytes(b"Content-Type: " + header.encode() + b"\r\n\r\n" + body)
    (part,) = message.get_payload()
    assert message.get_content_type() == "multipart/related"
    assert message.get_param("type") == part.get_content_type() == "application/dicom"
    # the standard library keeps the bytes, but for the kinds of line breaks
    payload = part.get_payload(decode=True).replace(b"\r\n", b"\n")
    assert payload == content.replace(b"\r\n", b"\n")


@pytest.mark.parametrize(
    "body",
    [
        FIRST + BINARY + b"\r\n--a b--",
        FIRST + BINARY + b"\r\n--a b--\r\nepilogue --a b",
        b"a preamble\r\n" + FIRST + BINARY + b"\r\n--a b--\r\n",
        FIRST.replace(b"--a b", b"--a b \t") + BINARY + b"\r\n--a b--",
    ],
    ids=["bare", "epilogue", "preamble", "spaces"],
)
def test_forms(body):
    assert read_parts(HEADER, body) == [Part("application/dicom", BINARY)]


def test_part_without_a_header():
    assert read_parts(HEADER, b"--a b\r\n\r\nx\r\n--a b--") == [Part("text/plain", b"x")]


def test_no_part():
    assert read_parts(HEADER, b"--a b--\r\n") == []


@pytest.mark.parametrize(
    ("header", "body", "words"),
    [
        ("multipart/related", FIRST, "no boundary"),
        ("multipart/related; boundary=" + "x" * 300, FIRST, "no boundary"),
        (HEADER, b"", "none in it"),
        (HEADER, b"junk", "none in it"),
        (HEADER, b"x--a b\r\n\r\nx\r\n", "none in it"),
        (HEADER, FIRST + b"x", "cut off"),
        (HEADER, FIRST + b"x\r\n--a", "cut off"),
        (HEADER, FIRST + b"x\r\n--a b", "cut off"),
        (HEADER, b"--a bXX\r\n\r\nx\r\n--a b--", "without a beginning"),
        (HEADER, b"--a b\r\nContent-Type: x\r\n--a b--", "does not end"),
        (HEADER, b"--a b\r\n" + b"X" * 20_000 + b"\r\n\r\nx\r\n--a b--", "does not end"),
        (HEADER, b"--a b\r\n\r\nx\r\n" * 1001 + b"--a b--", "more than 1000 parts"),
    ],
)
def test_refusals(header, body, words):
    with pytest.raises(RefusedError, match=words):
        read_parts(header, body)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Application/DICOM; x="y"', "application/dicom"),
        ("", "text/plain"),
        ("nonsense", "text/plain"),
    ],
)
def test_media_types(header, expected):
    assert media_type_of(header) == expected
