"""The outcome of an image, as a line of text that tells whether it is whole."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DONE, FAILED, REFUSED = "done", "failed", "refused"
"""``refused``: the file is not one that can be read; ``failed``: anything else."""

_LINE = re.compile(rb'(\{.*), "sha256": "([0-9a-f]{16})"\}', re.DOTALL)


@dataclass(frozen=True)
class PredictionRecord:
    """Outcome of one image.

    Attributes:
        key: of the image, :attr:`PredictionImage.key`.
        status: :data:`DONE`, :data:`FAILED` or :data:`REFUSED`.
        position: of the image in the list of all images, counted from 0.
        path: the file, absolute, under the name that it was given, if that is a link.
        file_name: what the detections call it.
        frame: of a file of several frames, counted from 0.
        image_id: of its data set.
        bytes: size of the file when it was read; None where it was not looked at.
        modified: its modification time then, in nanoseconds.
        height: of the image as it is stored, in pixels; None unless it is done.
        width: likewise.
        error: a sentence, unless it is done.
        overlay: name of its picture, if one was drawn.
        probability: that it has a lesion, if scores were calibrated.
        detections: ``{"class", "bbox", "score"}`` each: index of the class among the part's
            ``category_names``, [x, y, width, height] in pixels of the stored image, and a score in
            [0, 1], by descending score; and ``probability``, if scores were calibrated.
        run: a random name of the run that wrote it, unless it is done, or was written by a version
            that named no runs: it tells one failure of an image from another.
    """

    key: str
    status: str
    position: int
    path: str
    file_name: str
    frame: int | None
    image_id: int | str | None
    bytes: int | None
    modified: int | None
    height: int | None = None
    width: int | None = None
    error: str | None = None
    overlay: str | None = None
    probability: float | None = None
    detections: tuple[dict[str, Any], ...] = ()
    run: str | None = None


def format_line(content: Mapping[str, Any]) -> bytes:
    """Write JSON values with their checksum as a line."""
    body = json.dumps(content)
    return f'{body[:-1]}, "sha256": "{_checksum(body.encode())}"}}\n'.encode()


def parse_line(line: bytes) -> bytes | None:
    """Find the content of a line, as JSON; None if its checksum is wrong.

    Args:
        line: without the character that ends it.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    body = match[1] + b"}"
    return body if _checksum(body) == match[2].decode() else None


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
