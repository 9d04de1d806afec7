"""Relations of the images of an exam: the same breast in another view, the other in the same.

A screening exam has two views, craniocaudal (CC) and mediolateral oblique (MLO), of each breast.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medmask.coco import as_label

FIELDS = ("patient_id", "laterality", "view")
"""The fields that an image record must have; ``study_date`` parts the exams of a patient."""
_OTHER_SIDE = {"L": "R", "R": "L"}
_VIEWS = ("CC", "MLO", "ML", "LM", "LMO", "FB", "SIO", "ISO", "XCCL", "XCCM")
"""As DICOM files name them."""


@dataclass(frozen=True)
class RelatedViews:
    """The images that each of N images is compared with, as sorted indices.

    Attributes:
        ipsilateral: N lists: the same breast in another view.
        contralateral: N lists: the other breast in the same view.
    """

    ipsilateral: tuple[tuple[int, ...], ...]
    contralateral: tuple[tuple[int, ...], ...]

    def among(self, usable: Sequence[bool]) -> "RelatedViews":
        """The relations between images of which both are usable."""

        def keep(related: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
            return tuple(
                tuple(other for other in others if usable[index] and usable[other])
                for index, others in enumerate(related)
            )

        return RelatedViews(keep(self.ipsilateral), keep(self.contralateral))

    def has_any(self, index: int) -> bool:
        """Tell whether an image is related to any."""
        return bool(self.ipsilateral[index] or self.contralateral[index])

    def is_empty(self) -> bool:
        """Tell whether no image is related to any."""
        return not any(self.ipsilateral) and not any(self.contralateral)


def find_related_views(images: Sequence[Mapping[str, Any]]) -> RelatedViews:
    """Find the related images of each image.

    Args:
        images: N records of a COCO file or of a data set, with :data:`FIELDS`. One that lacks any
            of them is related to none.
    """
    of_exam: dict[Hashable, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        if all(as_label(image.get(field)) is not None for field in FIELDS):
            of_exam[image["patient_id"], _study(image)].append(index)
    ipsilateral: list[tuple[int, ...]] = [()] * len(images)
    contralateral: list[tuple[int, ...]] = [()] * len(images)
    for indices in of_exam.values():
        sides = {index: images[index]["laterality"] for index in indices}
        views = {index: _view(images[index]) for index in indices}
        for index in indices:
            side, view = sides[index], views[index]
            ipsilateral[index] = tuple(
                other for other in indices if sides[other] == side and views[other] != view
            )
            contralateral[index] = tuple(
                other
                for other in indices
                if sides[other] == _OTHER_SIDE.get(side) and views[other] == view
            )
    return RelatedViews(tuple(ipsilateral), tuple(contralateral))


def _study(image: Mapping[str, Any]) -> str:
    """The date, which files write as text or as a number; empty where there is none."""
    date = as_label(image.get("study_date"))
    return "" if date is None else str(date)


def _view(image: Mapping[str, Any]) -> str:
    """The view without the side that some files put before it, as in LCC and R-MLO."""
    view = str(image["view"]).strip().upper()
    rest = view.removeprefix(str(image["laterality"]).upper()).lstrip(" -_")
    return rest if rest in _VIEWS and view not in _VIEWS else view
