"""DICOM's JSON (PS3.18 annex F), of which an archive may send anything."""

import json
from collections.abc import Mapping
from typing import Any

from medmask.dicomweb.errors import RefusedError
from medmask.utils.dicom_uids import is_uid

JsonDataset = Mapping[str, Any]
"""A dataset: elements by their tag, eight hexadecimal digits."""


def read_datasets(body: bytes) -> list[JsonDataset]:
    """Read the datasets of an answer.

    Raises:
        RefusedError: it is not a list of datasets, or a single one.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError("the archive answered something else than DICOM's JSON") from None
    datasets = content if isinstance(content, list) else [content]
    if not all(isinstance(dataset, dict) for dataset in datasets):
        raise RefusedError("the archive answered something else than DICOM's JSON")
    return datasets


def values(dataset: JsonDataset, tag: str) -> list[Any]:
    """All values of an element; none if it is missing, empty or of another form."""
    element = dataset.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return [value for value in found if value is not None] if isinstance(found, list) else []


def text(dataset: JsonDataset, tag: str) -> str | None:
    """The first value of an element as text; None if there is none."""
    found = values(dataset, tag)
    return str(found[0]) if found and isinstance(found[0], str | int | float) else None


def identifier(dataset: JsonDataset, tag: str) -> str | None:
    r"""An identifier such as a patient's; None if there is none.

    A backslash in it, which the standard forbids, makes several values of one.
    """
    parts = values(dataset, tag)
    if not parts or not all(isinstance(part, str | int | float) for part in parts):
        return None
    return "\\".join(str(part).strip() for part in parts)


def uid(dataset: JsonDataset, tag: str) -> str | None:
    """A unique identifier; None if there is none, or it is not one and could be, say, a path."""
    found = text(dataset, tag)
    return found if is_uid(found) else None
