"""Kinds of received objects: mammograms pass, everything else is refused in one sentence.

No sentence tells a value of the header, which may be the patient's, but for unique identifiers.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from medmask.errors import InputError
from medmask.utils.dicom_uids import is_uid

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

OUT_OF_RESOURCES, WRONG_CLASS, NOT_UNDERSTOOD = 0xA700, 0xA900, 0xC000
"""Status of a refusal (PS3.4 B.2.3)."""

_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "PresentationIntentType",
    "NumberOfFrames",
    "Rows",
    "Columns",
)


class RefusedObject(InputError):
    """An object is not taken.

    Attributes:
        status: of the answer to its sender.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class ObjectIdentity:
    """Unique identifiers of an image, of digits and dots: they may name files."""

    study_uid: str
    instance_uid: str


def identify(
    encoded: BytesIO, syntax: "UID", class_uid: str | None, instance_uid: str | None
) -> ObjectIdentity:
    """Read the header of an object that came by C-STORE.

    Args:
        encoded: its dataset.
        syntax: transfer syntax of the presentation context, not deflated.
        class_uid: Affected SOP Class UID of the message.
        instance_uid: Affected SOP Instance UID of the message.

    Raises:
        RefusedObject: it is no mammogram of one frame for presentation, or not what the message
            says.
    """
    header = _read_header(encoded, syntax)
    name = f"object {instance_uid}" if is_uid(instance_uid) else "an object"
    values = {keyword: _value(header, keyword, name) for keyword in _TAGS}
    if values["SOPClassUID"] != class_uid or values["SOPInstanceUID"] != instance_uid:
        raise RefusedObject(
            WRONG_CLASS, f"{name} is refused: its SOP Class or Instance UID is not that of C-STORE"
        )
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not is_uid(values[keyword]):
            raise RefusedObject(
                NOT_UNDERSTOOD, f"{name} is refused: its {keyword} is missing or no identifier"
            )
    if values["Modality"] != "MG":
        raise RefusedObject(WRONG_CLASS, f"{name} is refused: it is no mammogram (Modality MG)")
    if str(values["PresentationIntentType"] or "").strip().upper() == "FOR PROCESSING":
        raise RefusedObject(
            WRONG_CLASS,
            f"{name} is refused: it is raw values for processing; send the image for presentation",
        )
    if not (values["Rows"] and values["Columns"]):
        raise RefusedObject(NOT_UNDERSTOOD, f"{name} is refused: it has no Rows or no Columns")
    if str(values["NumberOfFrames"] or 1).strip() != "1":
        raise RefusedObject(WRONG_CLASS, f"{name} is refused: it has several frames")
    return ObjectIdentity(str(values["StudyInstanceUID"]), str(values["SOPInstanceUID"]))


def _read_header(encoded: BytesIO, syntax: "UID") -> "Dataset":
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    encoded.seek(0)
    try:
        return read_dataset(
            encoded,
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, *_: tag.group >= 0x7FE0,
            specific_tags=[Tag(keyword) for keyword in _TAGS],
        )
    except Exception:  # whatever pydicom raises may quote the value
        raise _not_understood("an object") from None


def _value(header: "Dataset", keyword: str, name: str) -> Any:
    try:
        return header.get(keyword)
    except Exception:
        raise _not_understood(name) from None


def _not_understood(name: str) -> RefusedObject:
    return RefusedObject(
        NOT_UNDERSTOOD, f"{name} is refused: its header is not in the transfer syntax agreed upon"
    )
