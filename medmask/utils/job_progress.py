"""Numbered lines on jobs that end, with an estimate of the time that is left."""

import time
from collections.abc import Callable

from medmask.utils.counts import counted


class JobProgress:
    """Reports each job of a known number as it ends."""

    def __init__(
        self,
        total: int,
        jobs: int,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Report what there is to do, if anything.

        Args:
            total: what is left to do; what was done before does not count.
            jobs: at the same time.
            report: takes each line.
            clock: seconds.
        """
        self._total, self._report, self._clock = total, report, clock
        self._told, self._start = 0, clock()
        if total:
            report(f"{total} to do, {jobs} at a time")

    def tell(self, line: str) -> None:
        """Report that one more has ended, and the time that the others will take at this pace."""
        self._told += 1
        each = (self._clock() - self._start) / self._told
        left = each * (self._total - self._told) / 60
        self._report(
            f"[{self._told}/{self._total}] {line}; about {counted(round(left), 'minute')} left"
        )
