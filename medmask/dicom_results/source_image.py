"""The images that results are about: what their headers must tell, and which are refused."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmask.dicom_results.predictions import Finding, ScoredImage
from medmask.errors import InputError
from medmask.images import is_dicom, split_frame_path
from medmask.images.dicom.description import read_frame_size
from medmask.images.dicom.parsing import open_dicom
from medmask.images.dicom.view import to_capitals, to_side
from medmask.utils.counts import counted
from medmask.utils.dicom_uids import is_uid

if TYPE_CHECKING:
    from pydicom import Dataset

_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""Folders and files are named by them."""
_NEEDED = (
    *_IDENTIFIERS,
    "Rows",
    "Columns",
    "PhotometricInterpretation",
)
_UNICODE = "ISO_IR 192"
_COPIED = (  # of patient and study: results have them, if only empty (type 2)
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_DATES = ("PatientBirthDate", "StudyDate")
_NAMES = ("PatientName", "ReferringPhysicianName")
_CHARACTER_SETS = (None, "ISO_IR 100", _UNICODE)
"""Those that results keep; highdicom takes neither sets of several parts nor empty ones."""
_SEXES = ("", "M", "F", "O")
_TOLERANCE = 2.0  # pixels by which rounding may place a box outside of the image


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A radiograph and what was found in it.

    Attributes:
        path: the file.
        header: its dataset without the pixels, with all elements that results copy.
        findings: with a score at or above the threshold, by descending score; boxes lie within the
            image.
    """

    path: Path
    header: "Dataset"
    findings: tuple[Finding, ...]

    @property
    def uid(self) -> str:
        """SOP Instance UID."""
        return str(self.header.SOPInstanceUID)

    @property
    def study_uid(self) -> str:
        return str(self.header.StudyInstanceUID)

    @property
    def side(self) -> str | None:
        """``L``, ``R`` or ``B`` for both breasts; None if the header does not tell."""
        sides = (to_side(self.header.get(keyword)) for keyword in ("ImageLaterality", "Laterality"))
        return next(filter(None, sides), None)

    @property
    def series_side(self) -> str:
        """The side as Laterality (0020,0060) of a series has it: ``L``, ``R`` or empty."""
        return self.side if self.side in ("L", "R") else ""

    @property
    def findings_in_words(self) -> str:
        count = len(self.findings)
        return counted(count or "no", "finding")


def read_source_image(
    scored: ScoredImage, score_threshold: float, *, beyond_ascii: bool = False
) -> SourceImage:
    """Read the header of an image.

    No message tells a value of the header, which may be the patient's.

    Args:
        scored: the image.
        score_threshold: detections with a lower score are left out.
        beyond_ascii: whether results hold texts that the image's character set may lack; then the
            header is one in Unicode.

    Raises:
        InputError: it is not a DICOM image of one frame, or an element that the results need is
            missing or faulty, or a detection lies outside of it.
    """
    path, frame = split_frame_path(scored.path)
    if not path.is_file():
        raise InputError(f"image {path} does not exist any more; results need its header")
    if not is_dicom(path):
        raise InputError(f"image {path} is not DICOM: DICOM results refer to DICOM images alone")
    with open_dicom(path) as file:
        header = file.elements.dataset
        for keyword in _NEEDED:
            if _value(path, header, keyword) in (None, ""):
                raise _fault(path, keyword, "is missing or empty")
        for keyword in _IDENTIFIERS:
            if not is_uid(_value(path, header, keyword)):
                raise _fault(path, keyword, "must be numbers and dots, 64 characters at most")
        size = read_frame_size(file.elements)
        if beyond_ascii or _value(path, header, "SpecificCharacterSet") not in _CHARACTER_SETS:
            _use_unicode(path, header)
        for keyword in (*_COPIED, "Modality"):
            if _value(path, header, keyword) is None:
                setattr(header, keyword, "")
        if _value(path, header, "SamplesPerPixel") is None:
            header.SamplesPerPixel = 1  # as the reader of the pixels takes it
        _check_formats(path, header)
        side = to_capitals(_value(path, header, "ImageLaterality"))
    if frame is not None or size.frames > 1:
        raise InputError(
            f"image {path} holds several frames: DICOM results are written for single-frame images"
        )
    if header.PatientSex not in _SEXES:
        raise _fault(path, "PatientSex", "must be empty, M, F or O")
    if side and not to_side(side):
        raise _fault(path, "ImageLaterality", "must be L, R or B")
    if header.SamplesPerPixel != 1:
        raise InputError(f"image {path} has colors: DICOM results are written for radiographs")
    findings = tuple(
        _within(finding, size.rows, size.columns, path)
        for finding in scored.findings
        if finding.score >= score_threshold
    )
    return SourceImage(path, header, findings)


def _check_formats(path: Path, header: "Dataset") -> None:
    """Refuse dates, times and names that highdicom does not take, by the element's name."""
    from pydicom.multival import MultiValue
    from pydicom.valuerep import DA, TM

    for keyword in (*_DATES, "StudyTime"):
        kind, form = (DA, "date (YYYYMMDD)") if keyword in _DATES else (TM, "time (HHMMSS)")
        try:
            kind(header.get(keyword))
        except Exception:  # whatever pydicom raises may quote the value
            raise _fault(path, keyword, f"must be empty or a {form}") from None
    for keyword in _NAMES:
        if isinstance(header.get(keyword), MultiValue):
            raise _fault(path, keyword, "must be one name, but a backslash makes it several")


def _use_unicode(path: Path, header: "Dataset") -> None:
    try:
        header.decode()
    except Exception:  # its text may quote the value
        raise InputError(
            f"DICOM file {path}: an element cannot be read in the header's character set, and "
            "results need it; correct the element or export the image again"
        ) from None
    header.SpecificCharacterSet = _UNICODE


def _value(path: Path, header: "Dataset", keyword: str) -> Any:
    try:
        return header.get(keyword)
    except Exception:  # whatever pydicom raises may quote the value
        raise _fault(path, keyword, "cannot be read") from None


def _fault(path: Path, keyword: str, what: str) -> InputError:
    from pydicom.datadict import dictionary_description, tag_for_keyword

    tag = tag_for_keyword(keyword) or 0
    name = f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return InputError(
        f"DICOM file {path}: the element {name} {what}, and results need it; correct the element "
        "or export the image again"
    )


def _within(finding: Finding, rows: int, columns: int, path: Path) -> Finding:
    """Clip what rounding has placed outside of the image."""
    x0, y0, x1, y1 = finding.box
    if min(x0, y0) < -_TOLERANCE or x1 > columns + _TOLERANCE or y1 > rows + _TOLERANCE:
        raise InputError(
            f"a detection lies outside of image {path} of {rows} rows and {columns} columns: the "
            "detections are those of another image"
        )

    def clip(value: float, limit: int) -> float:
        return min(max(value, 0.0), float(limit))

    box = (clip(x0, columns), clip(y0, rows), clip(x1, columns), clip(y1, rows))
    return replace(finding, box=box)
