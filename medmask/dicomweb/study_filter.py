"""Filter of the studies that are looked for; free of heavy imports: command lines show it."""

import re
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from medmask.dicomweb.dicom_json import JsonDataset, identifier, text, values
from medmask.errors import InputError
from medmask.utils.dicom_uids import is_uid

MAMMOGRAPHY = "MG"

STUDY_UID, STUDY_DATE = "0020000D", "00080020"
PATIENT_ID, ACCESSION_NUMBER, MODALITIES = "00100020", "00080050", "00080061"

_DATES = re.compile(r"([0-9]{8})?(-)?([0-9]{8})?", re.ASCII)


@dataclass(frozen=True)
class StudyFilter:
    """Conditions that a study must meet, all of them; None for no condition.

    Attributes:
        study_date: ``YYYYMMDD``, or a range with both ends in it: ``YYYYMMDD-YYYYMMDD``,
            ``YYYYMMDD-`` or ``-YYYYMMDD``.
        patient_id: Patient ID; ``*`` and ``?`` are wildcards.
        accession_number: likewise.
        study_uid: Study Instance UID.

    Raises:
        InputError: a condition is not of its form, or there is none.
    """

    study_date: str | None = None
    patient_id: str | None = None
    accession_number: str | None = None
    study_uid: str | None = None

    def __post_init__(self) -> None:
        if not any((self.study_date, self.patient_id, self.accession_number, self.study_uid)):
            raise InputError(
                "give the dates of the studies, a patient, an accession number or a study: all of "
                "an archive is more than anyone means"
            )
        for what, condition in (
            ("Patient ID", self.patient_id),
            ("accession number", self.accession_number),
        ):
            if condition is not None and not condition.strip():
                raise InputError(f"the {what} to look for is empty: give one, or leave it out")
        if self.study_date is not None:
            _date_range(self.study_date)
        if self.study_uid is not None and not is_uid(self.study_uid):
            raise InputError(f"'{self.study_uid}' is not a Study Instance UID: digits and dots")

    def query(self) -> dict[str, str]:
        """The parameters of a query (PS3.18 section 8.3.4).

        The modality is not among them: archives refuse it on studies, or lose matches of it beyond
        the first page.
        """
        conditions = {
            "StudyDate": self.study_date,
            "PatientID": self.patient_id,
            "AccessionNumber": self.accession_number,
            "StudyInstanceUID": self.study_uid,
        }
        return {name: value for name, value in conditions.items() if value is not None}

    def has(self, study: JsonDataset) -> bool:
        """Tell whether a study that an archive found meets the conditions.

        Archives pass over conditions that they do not know. What a study leaves out is not held
        against it.
        """
        modalities = values(study, MODALITIES)
        return (
            (not modalities or MAMMOGRAPHY in modalities)
            and self._has_date(text(study, STUDY_DATE))
            and _matches(self.patient_id, identifier(study, PATIENT_ID))
            and _matches(self.accession_number, text(study, ACCESSION_NUMBER))
            and self.study_uid in (None, text(study, STUDY_UID))
        )

    def _has_date(self, stated: str | None) -> bool:
        if self.study_date is None or stated is None:
            return True
        first, last = _date_range(self.study_date)
        return first <= stated.replace(".", "") <= last


def _matches(pattern: str | None, stated: str | None) -> bool:
    if pattern is None or stated is None:
        return True
    # brackets are not wildcards in DICOM
    return fnmatchcase(stated.strip(), pattern.strip().replace("[", "[[]"))


def _date_range(given: str) -> tuple[str, str]:
    match = _DATES.fullmatch(given)
    first, dash, last = match.groups() if match else (None, None, None)
    if not (first or last) or (first and last and not dash) or (last and not dash):
        raise InputError(
            f"the study date '{given}' is neither YYYYMMDD nor a range such as 20260101-20260131"
        )
    for text_of_day in (first, last):
        if text_of_day is not None:
            try:
                date.fromisoformat(text_of_day)
            except ValueError:
                raise InputError(f"the study date {text_of_day} is no day of a calendar") from None
    if not dash:
        return first or "", first or ""
    if first and last and first > last:
        raise InputError(f"the study date '{given}' ends before it begins")
    return first or "", last or "99999999"
