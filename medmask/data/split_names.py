"""Relations of two data sets, as their names tell them: which images they may share."""

import enum
import re
from typing import NamedTuple

from medmask.converters.parts import ALL, HELDOUT, LABELS, SPLITS

_NAME = re.compile(
    rf"(?P<family>.+?)(?:_(?:{'|'.join(LABELS)}))?"
    rf"_(?P<part>{'|'.join((ALL, *SPLITS, HELDOUT))}|fold(?P<fold>\d+)_(?P<role>train|test))"
)


class Relation(enum.Enum):
    """Images that two data sets may have in common."""

    STRANGERS = enum.auto()
    """sets of their own, whose equal file names and patient ids mean nothing"""
    DISJOINT = enum.auto()
    """parts of one set that must not share a patient"""
    OVERLAPPING = enum.auto()
    """parts of one set that share images by definition, or are of different splits of it"""
    OTHER_FOLDS = enum.auto()
    """parts of different folds, which share what neither tests on"""


class SplitName(NamedTuple):
    """The name of a data set, taken apart.

    Args:
        family: the name of the whole set, whatever lesions its annotations show.
        part: of it; empty for a name that is of no part.
        fold: its number; None if the part is of no fold.
        role: "train" or "test" in the fold.
    """

    family: str
    part: str = ""
    fold: int | None = None
    role: str = ""

    @classmethod
    def parse(cls, name: str) -> "SplitName":
        match = _NAME.fullmatch(name)
        if match is None:
            return cls(name)
        fold = None if match["fold"] is None else int(match["fold"])
        return cls(match["family"], match["part"], fold, match["role"] or "")

    def relate(self, other: "SplitName") -> Relation:
        """Tell what this set and another one may have in common."""
        if self.family != other.family:
            return Relation.STRANGERS
        if not self.part or not other.part:  # the whole set, it may be
            return Relation.OVERLAPPING
        if self.fold is not None and other.fold is not None and self.fold != other.fold:
            return Relation.DISJOINT if self.role == other.role == "test" else Relation.OTHER_FOLDS
        parts = {self.part, other.part}
        is_contained = ALL in parts or (HELDOUT in parts and "train" not in parts)
        is_of_one_split = (self.fold is None) == (other.fold is None)
        if len(parts) == 1 or is_contained or not is_of_one_split:
            return Relation.OVERLAPPING
        return Relation.DISJOINT
