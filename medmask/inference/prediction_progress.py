"""Progress of a run of predictions: a bar on a terminal, a line now and then elsewhere."""

import datetime
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

_REPORT_SECONDS = 30.0


class PredictionProgress:
    """Counts images, and tells how many are left and how long they will take."""

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
            report: takes a line every 30 seconds; None for stderr, or a bar if that is a terminal.
            clock: seconds.
        """
        self._images, self._done_before = images, done_before
        self._report, self._clock = report or _print, clock
        self._start = self._last_report = clock()
        self._statuses: Counter = Counter()
        self._bar = tqdm(
            desc="detecting",
            unit="image",
            total=images,
            initial=done_before,
            disable=True if report else None,  # None: where nobody watches
        )

    def count(self, status: str) -> None:
        """Count an image that has come to its end."""
        self._statuses[status] += 1
        self._bar.update()
        now = self._clock()
        if self._bar.disable and now - self._last_report >= _REPORT_SECONDS:
            self._last_report = now
            self._report(self._line(now - self._start))

    def _line(self, seconds: float) -> str:
        counted = sum(self._statuses.values())
        ended = self._done_before + counted
        left = datetime.timedelta(seconds=round(seconds / counted * (self._images - ended)))
        others = "".join(
            f", {self._statuses[status]} {status}"
            for status in ("failed", "refused")
            if self._statuses[status]
        )
        rate = counted / seconds
        return f"{ended} of {self._images} images{others}, {rate:.2f} a second, {left} left"

    def __enter__(self) -> "PredictionProgress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
