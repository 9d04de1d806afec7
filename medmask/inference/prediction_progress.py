"""Progress of a run of predictions, with the images that failed or were refused."""

import time
from collections import Counter
from collections.abc import Callable

from medmask.inference.prediction_record import FAILED, REFUSED
from medmask.utils.progress import Progress


class PredictionProgress(Progress):
    """Counts images by what became of them."""

    def __init__(
        self,
        images: int,
        done_before: int,
        *,
        report: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the progress of a run.

        Args:
            images: of the run.
            done_before: how many of them an earlier run had finished.
            report: as for :class:`Progress`.
            clock: likewise.
        """
        super().__init__(
            "detecting", images, "image", done_before=done_before, report=report, clock=clock
        )
        self._statuses: Counter = Counter()

    def count(self, status: str) -> None:
        """Count an image that has come to its end."""
        self._statuses[status] += 1
        others = [(self._statuses[status], status) for status in (FAILED, REFUSED)]
        self.advance(note=", ".join(f"{number} {status}" for number, status in others if number))
