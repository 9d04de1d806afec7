"""The status of a study on disk."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.utils.json_files import read_json, write_json

RECEIVING, SCORING, SENDING, ANSWERED, FAILED = STATES = (
    "receiving",
    "scoring",
    "sending",
    "answered",
    "failed",
)
"""``failed``: no image of the study gave results."""


@dataclass
class StudyStatus:
    """Progress of a study.

    Attributes:
        state: among :data:`STATES`.
        attempts: how often scoring was begun and did not end, or left images to be tried again.
        images: SOP Instance UIDs of the images that were scored or set aside.
        problems: a sentence for each image that gave no results.
        sent: SOP Instance UIDs of the results that the destination has acknowledged.
        refused: those that it refused, with its reason.
    """

    state: str = RECEIVING
    attempts: int = 0
    images: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def read_status(path: Path) -> StudyStatus:
    """Read a status.

    Raises:
        InputError: the file is absent or damaged.
    """
    content = read_json(path, "status of a study")
    if not isinstance(content, dict) or not _is_status(content):
        raise InputError(f"{path} is no status of a study")
    return StudyStatus(**content)


def write_status(path: Path, status: StudyStatus) -> None:
    write_json(path, asdict(status))


def _is_status(content: dict[str, Any]) -> bool:
    kinds = {each.name: type(getattr(StudyStatus(), each.name)) for each in fields(StudyStatus)}
    return (
        content.keys() == kinds.keys()
        and all(type(content[name]) is kind for name, kind in kinds.items())
        and content["state"] in STATES
    )
