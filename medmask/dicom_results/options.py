"""Options of the results, free of heavy imports: command lines show them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medmask.errors import InputError

if TYPE_CHECKING:
    from medmask.calibration import AppliedCalibration

OBJECTS = ("report", "cad", "presentation", "capture")
"""Kinds of objects: TID 1500 report, mammography CAD report, presentation state, picture."""


@dataclass(frozen=True)
class ResultOptions:
    """Choice of what is written.

    Attributes:
        score_threshold: detections with at least this score are findings, in [0, 1].
        objects: kinds among :data:`OBJECTS`, at least one.

    Raises:
        InputError: a value is out of its range.
    """

    score_threshold: float = 0.3
    objects: tuple[str, ...] = OBJECTS

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise InputError(f"the score threshold must be in [0, 1], got {self.score_threshold}")
        if not self.objects or not set(self.objects) <= set(OBJECTS):
            raise InputError(
                f"objects are some of {', '.join(OBJECTS)}, got {', '.join(self.objects) or 'none'}"
            )

    def at(self, calibration: "AppliedCalibration | None") -> "ResultOptions":
        """Take the threshold of an operating point; None leaves that which there is."""
        if calibration is None:
            return self
        return replace(self, score_threshold=calibration.threshold)
