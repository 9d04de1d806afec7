"""Images by study."""

from collections.abc import Iterable
from dataclasses import dataclass

from medmask.dicom_results.source_image import SourceImage
from medmask.errors import InputError

_ORDER = {"R": 0, "L": 1}


@dataclass(frozen=True, eq=False)
class Study:
    """The scored images of one study.

    Attributes:
        uid: Study Instance UID.
        images: at least one, right before left, each once.
    """

    uid: str
    images: tuple[SourceImage, ...]

    @property
    def has_findings(self) -> bool:
        return any(image.findings for image in self.images)


def group_studies(images: Iterable[SourceImage]) -> tuple[list[Study], list[str]]:
    """Sort images by study.

    Args:
        images: in any order, of any number of studies.

    Returns:
        The studies, and a sentence for each that contradicts itself and is left out.
    """
    by_study: dict[str, list[SourceImage]] = {}
    for image in images:
        by_study.setdefault(image.study_uid, []).append(image)
    studies, problems = [], []
    for uid, members in by_study.items():
        try:
            studies.append(Study(uid, _unique(members)))
        except InputError as error:
            problems.append(str(error))
    return studies, problems


def _unique(images: list[SourceImage]) -> tuple[SourceImage, ...]:
    """Each image once, in a fixed order.

    Raises:
        InputError: copies of an image differ in their findings, or patients are mixed.
    """
    by_uid: dict[str, SourceImage] = {}
    first = images[0]
    for image in images:
        if image.header.PatientID != first.header.PatientID:
            raise InputError(
                f"images {first.path} and {image.path} are of one study, but of different patients "
                "(Patient ID): correct their headers"
            )
        other = by_uid.setdefault(image.uid, image)
        # of one file under two ids, the scores may differ in their last bits, with the batch
        if other.findings != image.findings and other.path != image.path:
            raise InputError(
                f"images {other.path} and {image.path} have one SOP Instance UID, but different "
                "detections: score one of them, or correct the header"
            )

    def rank(image: SourceImage) -> tuple[int, str, str]:
        side, view = image.side or "", str(image.header.get("ViewPosition") or "")
        return _ORDER.get(side, 2), view, image.uid

    return tuple(sorted(by_uid.values(), key=rank))
