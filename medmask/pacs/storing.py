"""Results in the archive: stored, fetched again and compared."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicom import DataElement, Dataset, dcmread
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medmask.dicom_results.highdicom_import import without_patient_data_in_logs
from medmask.dicomweb.client import DicomwebClient, InstanceName
from medmask.dicomweb.errors import RefusedError
from medmask.utils.counts import counted

_TIMES = ("DA", "TM", "DT")
_META_GROUP, _PATIENT_GROUP = 0x0002, 0x0010
_OF_STUDY = frozenset({"AccessionNumber", "ReferringPhysicianName", "StudyDescription", "StudyID"})


@dataclass(frozen=True)
class StoredResults:
    """Outcome of storing the results of a study.

    Attributes:
        refused: a sentence for each object that the archive does not take or give back.
        changed: a sentence for each object that came back other than it was.
    """

    refused: tuple[str, ...]
    changed: tuple[str, ...]


def store_results(client: DicomwebClient, study: str, paths: Iterable[Path]) -> StoredResults:
    """Store objects in their study, and fetch each again.

    Args:
        client: of the archive.
        study: Study Instance UID.
        paths: DICOM files.

    Raises:
        UnreachableError: the archive does not answer.
        AccessError: it does not let us in.
    """
    refused, changed = [], []
    for path in paths:
        content = path.read_bytes()
        ours = dcmread(io.BytesIO(content))
        name = InstanceName(study, str(ours.SeriesInstanceUID), str(ours.SOPInstanceUID))
        try:
            client.store(study, name.instance, content)
            returned = client.retrieve(name)
        except RefusedError as error:
            refused.append(
                f"object {path} is not stored ({error}); leave out its kind if the archive does "
                "not take it"
            )
            continue
        problem = _compare(ours, returned, path)
        if problem is not None:
            changed.append(problem)
    return StoredResults(tuple(refused), tuple(changed))


def _compare(ours: Dataset, returned: bytes, path: Path) -> str | None:
    """A sentence if an object came back changed.

    Dates may differ, if another run stored the same object before; elements of the patient and the
    study may, where the archive replaces them by what it knows.
    """
    try:
        with without_patient_data_in_logs():
            differing = _differing(ours, _read(returned))
    except Exception:  # its text may quote the header
        return f"object {path} came back from the archive damaged"
    if not differing:
        return None
    names = ", ".join(str(tag) for tag in differing[:3])
    elements = counted(len(differing), "element")
    return f"object {path} came back from the archive changed in {elements}: {names}"


def _read(content: bytes) -> Dataset:
    """Read an object, unless it could inflate to any size."""
    stream = io.BytesIO(content)
    read_preamble(stream, force=False)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag.group != _META_GROUP)
    if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        raise ValueError("deflated")
    return dcmread(io.BytesIO(content))


def _differing(ours: Dataset, theirs: Dataset) -> list[object]:
    tags = sorted(ours.keys() | theirs.keys())
    return [tag for tag in tags if not _agrees(ours.get(tag), theirs.get(tag))]


def _agrees(ours: DataElement | None, theirs: DataElement | None) -> bool:
    element = ours if ours is not None else theirs
    assert element is not None
    if element.VR in _TIMES or element.tag.group == _PATIENT_GROUP or element.keyword in _OF_STUDY:
        return True
    if ours is None or theirs is None:
        return element.is_empty
    if ours.VR == "SQ" and theirs.VR == "SQ":
        pairs = zip(ours.value, theirs.value, strict=False)
        return len(ours.value) == len(theirs.value) and not any(_differing(*p) for p in pairs)
    return bool(ours.value == theirs.value)
