"""Requests to an archive: find, retrieve, store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from medmask.dicomweb.connection import Answer, Connection
from medmask.dicomweb.dicom_json import JsonDataset, read_datasets, uid, values
from medmask.dicomweb.errors import RefusedError
from medmask.dicomweb.multipart import Part, media_type_of, read_parts, write_message
from medmask.dicomweb.study_filter import (
    MAMMOGRAPHY,
    MODALITIES,
    STUDY_UID,
    StudyFilter,
)
from medmask.utils.counts import counted

_JSON, _DICOM = "application/dicom+json", "application/dicom"
_ANY_SYNTAX = f'multipart/related; type="{_DICOM}"; transfer-syntax=*'
_SERIES_UID, _INSTANCE_UID, _CLASS_UID, _MODALITY = "0020000E", "00080018", "00080016", "00080060"
_STORED, _FAILED = "00081199", "00081198"
_REFERENCED_UID, _FAILURE_REASON = "00081155", "00081197"
_PAGE = 500
_WITH_MODALITIES = {"includefield": MODALITIES}

Match = TypeVar("Match")


class InstanceName(NamedTuple):
    """Place of an object in an archive."""

    study: str
    series: str
    instance: str

    @property
    def path(self) -> str:
        return f"studies/{self.study}/series/{self.series}/instances/{self.instance}"


class Found(NamedTuple, Generic[Match]):
    """Matches of a search.

    A match whose identifier is none, as careless anonymization leaves them, is left out.
    """

    matches: tuple[Match, ...]
    problems: tuple[str, ...]
    """a sentence where some were left out"""


@dataclass(frozen=True)
class Instance:
    """An object that a search found.

    Attributes:
        name: its unique identifiers.
        sop_class: SOP Class UID; None if the archive does not tell.
    """

    name: InstanceName
    sop_class: str | None


class DicomwebClient:
    """Studies and objects of one archive.

    All methods raise :class:`medmask.dicomweb.errors.DicomwebError`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def find_studies(self, study_filter: StudyFilter) -> Found[str]:
        """Search studies that meet conditions, and may have mammograms (QIDO-RS).

        Returns:
            Study Instance UIDs, each once, in the order of the archive.
        """
        search = self._search("studies", STUDY_UID, study_filter.query() | _WITH_MODALITIES)
        found = [name for name, study in search.matches if study_filter.has(study)]
        return Found(tuple(found), search.problems)

    def find_mammograms(self, study: str) -> Found[Instance]:
        """Search the objects of a study's mammography series (QIDO-RS), of whatever SOP class."""
        found = []
        all_series = self._search(f"studies/{study}/series", _SERIES_UID)
        problems = list(all_series.problems)
        for series, description in all_series.matches:
            if MAMMOGRAPHY in values(description, _MODALITY):
                path = f"studies/{study}/series/{series}/instances"
                search = self._search(path, _INSTANCE_UID)
                problems += search.problems
                for instance, dataset in search.matches:
                    name = InstanceName(study, series, instance)
                    found.append(Instance(name, uid(dataset, _CLASS_UID)))
        return Found(tuple(found), tuple(problems))

    def retrieve(self, name: InstanceName) -> bytes:
        """Retrieve an object as it is stored, in whatever transfer syntax (WADO-RS).

        Returns:
            A DICOM file; nobody has looked at it yet.

        Raises:
            RefusedError: the archive does not give it, or something else.
        """
        answer = self.connection.get(name.path, _ANY_SYNTAX)
        try:
            return _only_part(answer)
        except RefusedError as error:
            raise RefusedError(f"{self.connection.url}/{name.path}: {error}") from None

    def store(self, study: str, instance: str, content: bytes) -> None:
        """Store an object (STOW-RS); one that is there already may be sent again.

        Args:
            study: Study Instance UID.
            instance: SOP Instance UID of the object.
            content: a DICOM file.

        Raises:
            RefusedError: the archive does not take it.
        """
        content_type, body = write_message([Part(_DICOM, content)])
        path = f"studies/{study}"
        answer = self.connection.post(path, _JSON, content_type, body)
        if media_type_of(answer.content_type) not in (_JSON, "application/json"):
            return  # some answer in XML, whatever they are asked for; the status says it is stored
        for dataset in read_datasets(answer.body):
            for failed in values(dataset, _FAILED):
                if isinstance(failed, dict) and uid(failed, _REFERENCED_UID) == instance:
                    raise RefusedError(
                        f"{self.connection.url}/{path}: the archive does not take the object "
                        f"{instance} ({_reason(failed)})"
                    )

    def _search(
        self, path: str, key: str, query: Mapping[str, str] | None = None
    ) -> Found[tuple[str, JsonDataset]]:
        """All matches of a search, page by page, with their identifiers.

        A page may be shorter than was asked for, as archives have limits of their own: the last is
        the one without anything new.
        """
        matches: dict[str, JsonDataset] = {}
        received = nameless = 0
        while True:
            paging = {"limit": str(_PAGE), "offset": str(received)}
            page = self._search_page(path, dict(query or {}) | paging)
            before = len(matches), nameless
            for dataset in page:
                name = uid(dataset, key)
                if name is None:
                    nameless += 1
                else:
                    matches.setdefault(name, dataset)
            received += len(page)
            if (len(matches), nameless) == before:
                break
        if len(page) >= _PAGE:
            raise RefusedError(
                f"{self.connection.url}/{path}: the archive gives its first "
                f"{counted(len(page), 'match', 'matches')} again and again, so that the others "
                "cannot be found: narrow the dates"
            )
        problems = () if not nameless else (self._describe_nameless(path, key, nameless),)
        return Found(tuple(matches.items()), problems)

    def _describe_nameless(self, path: str, key: str, count: int) -> str:
        return (
            f"{self.connection.url}/{path}: left out {counted(count, 'match', 'matches')} without "
            f"an identifier ({key[:4]},{key[4:]}) of digits and dots"
        )

    def _search_page(self, path: str, query: Mapping[str, str]) -> list[JsonDataset]:
        answer = self.connection.get(path, _JSON, query)
        if answer.status == 204 or not answer.body.strip():
            return []
        try:
            return read_datasets(answer.body)
        except RefusedError as error:
            raise RefusedError(f"{self.connection.url}/{path}: {error}") from None


def _only_part(answer: Answer) -> bytes:
    media_type = media_type_of(answer.content_type)
    if media_type == _DICOM:  # not what the standard says, but what some do
        return answer.body
    if media_type != "multipart/related":
        raise RefusedError("the archive answered something else than a DICOM object")
    parts = read_parts(answer.content_type, answer.body)
    if len(parts) != 1 or parts[0].media_type != _DICOM:
        raise RefusedError(f"the archive answered {len(parts)} parts instead of one DICOM object")
    return parts[0].content


def _reason(failed: JsonDataset) -> str:
    """The failure reason (0008,1197), as the standard writes it."""
    code = values(failed, _FAILURE_REASON)
    return f"failure reason {code[0]:04X}H" if code and isinstance(code[0], int) else "no reason"
