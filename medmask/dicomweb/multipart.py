"""Messages of several parts, ``multipart/related`` (RFC 2046 and 2387), as DICOMweb has them."""

import secrets
from collections.abc import Sequence
from email.message import Message
from typing import NamedTuple

from medmask.dicomweb.errors import RefusedError

_MOST_PARTS = 1000
_LONGEST_HEADER = 16_384  # bytes


class Part(NamedTuple):
    """One part of a message."""

    media_type: str
    """such as ``application/dicom``, in lower case, without parameters"""
    content: bytes


def media_type_of(content_type: str) -> str:
    """The media type that a header ``Content-Type`` gives, in lower case, without parameters."""
    return _header(content_type).get_content_type()


def read_parts(content_type: str, body: bytes) -> list[Part]:
    """Take a message apart.

    Args:
        content_type: the header of the message, with its ``boundary``.
        body: the message.

    Raises:
        RefusedError: the message is not of this form, or is cut off.
    """
    boundary = _header(content_type).get_param("boundary")
    if not isinstance(boundary, str) or not 1 <= len(boundary) <= 200:
        raise RefusedError("an answer of several parts states no boundary between them")
    mark = b"--" + boundary.encode("latin-1", errors="replace")
    # the line break before a boundary belongs to it; the first may stand at the very beginning
    start = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    if start == 1:
        raise RefusedError("an answer of several parts has none in it")
    parts: list[Part] = []
    position = start + len(mark)
    while not body.startswith(b"--", position):
        end = body.find(b"\r\n" + mark, position)
        if end < 0:
            raise RefusedError("an answer of several parts is cut off")
        if len(parts) == _MOST_PARTS:
            raise RefusedError(f"an answer has more than {_MOST_PARTS} parts")
        parts.append(_read_part(body, position, end))
        position = end + 2 + len(mark)
    return parts


def write_message(parts: Sequence[Part]) -> tuple[str, bytes]:
    """Put a message together.

    Args:
        parts: at least one, all of one media type.

    Returns:
        The header ``Content-Type``, and the message.
    """
    boundary = secrets.token_hex(16)
    while any(boundary.encode() in part.content for part in parts):
        boundary = secrets.token_hex(16)
    pieces = []
    for part in parts:
        pieces += [f"--{boundary}\r\nContent-Type: {part.media_type}\r\n\r\n".encode()]
        pieces += [part.content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    header = f'multipart/related; type="{parts[0].media_type}"; boundary={boundary}'
    return header, b"".join(pieces)


def _read_part(body: bytes, start: int, end: int) -> Part:
    """The part between the end of a boundary and the line break before the next."""
    # spaces may follow the boundary on its line
    line_end = body.find(b"\r\n", start, min(end + 2, start + _LONGEST_HEADER))
    if line_end < 0 or body[start:line_end].strip(b" \t"):
        raise RefusedError("an answer of several parts has a part without a beginning")
    if body.startswith(b"\r\n", line_end + 2):  # no header at all
        return Part("text/plain", body[line_end + 4 : end])
    header_end = body.find(b"\r\n\r\n", line_end, min(end, line_end + _LONGEST_HEADER))
    if header_end < 0:
        raise RefusedError("an answer of several parts has a part whose header does not end")
    media_type = "text/plain"
    for line in body[line_end + 2 : header_end].decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            media_type = media_type_of(value.strip())
    return Part(media_type, body[header_end + 4 : end])


def _header(content_type: str) -> Message:
    message = Message()
    message["Content-Type"] = content_type
    return message
