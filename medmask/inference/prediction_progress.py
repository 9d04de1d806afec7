"""Progress of a run of predictions: a bar on a terminal, a line now and then elsewhere."""

import datetime
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

from medmask.utils.counts import counted

_REPORT_SECONDS = 30.0
_LEAST_SECONDS = 5.0  # that tell a rate; the images of a batch are counted at once


class PredictionProgress:
    """Counts images, and tells how many are left and how long they will take.

    The rate is that since the first image, as models and processes may take minutes to start.
    """

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
        self._last_report = clock()
        self._statuses: Counter = Counter()
        self._first: float | None = None  # time at which the first image was counted
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
        now = self._clock()
        if self._first is None:
            self._first = now
            self._bar.unpause()  # its clock begins here, too
        self._bar.update()
        if self._bar.disable and now - self._last_report >= _REPORT_SECONDS:
            self._last_report = now
            self._report(self._line(now - self._first))

    def _line(self, seconds: float) -> str:
        ended = self._done_before + self._statuses.total()
        others = "".join(
            f", {self._statuses[status]} {status}"
            for status in ("failed", "refused")
            if self._statuses[status]
        )
        estimate = self._estimate(seconds, self._images - ended)
        return f"{ended} of {counted(self._images, 'image')}{others}{estimate}"

    def _estimate(self, seconds: float, left: int) -> str:
        """The rate and the time that is left, as soon as the time since the first tells them."""
        counted = self._statuses.total() - 1
        if not counted or seconds < _LEAST_SECONDS:
            return ""
        time_left = datetime.timedelta(seconds=round(seconds / counted * left))
        return f", {counted / seconds:.2f} a second, {time_left} left"

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
