"""Options of a report, free of numpy: command lines show them."""

from dataclasses import dataclass

from medmask.errors import InputError
from medmask.evaluation.settings import MOST_FALSE_POSITIVES


@dataclass(frozen=True)
class ReportOptions:
    """Options of a report.

    Attributes:
        dataset: registered data set that the detections are of; None takes that of the configs.
        fpi: false positives per image at which hits and misses are told apart, at least 0.
        gallery: findings of each kind to show of each run; 0 shows none.
        bootstrap: resamples of the patients; None takes as many as the evaluations did.
        title: of the page; None names the runs.

    Raises:
        InputError: for a value out of its range.
    """

    dataset: str | None = None
    fpi: float = 0.3
    gallery: int = 16
    bootstrap: int | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.fpi <= MOST_FALSE_POSITIVES:
            raise InputError(
                f"the false positives per image must be a number from 0 to {MOST_FALSE_POSITIVES}, "
                f"got {self.fpi}"
            )
        if self.gallery < 0:
            raise InputError(
                f"the findings of each kind to show must be at least 0, got {self.gallery}"
            )
