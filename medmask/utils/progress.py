"""Progress of a pass over many things: a bar on a terminal, a line now and then elsewhere.

A pass of less than half a minute writes nothing into a pipe or a log.
"""

import datetime
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import Self, TypeVar

from tqdm import tqdm

from medmask.utils.counts import counted

Item = TypeVar("Item")

_REPORT_SECONDS = 30.0
_LEAST_SECONDS = 5.0  # that tell a rate; the items of a batch are counted at once


class Progress:
    """Counts what is done, and tells how much is left and how long it will take.

    The rate is that since the first item, as models and processes may take minutes to start.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str,
        units: str | None = None,
        *,
        done_before: int = 0,
        show_progress: bool = True,
        stays: bool = True,
        report: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the progress of a pass.

        Args:
            title: what is done.
            total: how many there are.
            unit: what is counted, in the singular.
            units: in the plural, see :func:`counted`.
            done_before: how many of them were done before this pass.
            show_progress: whether anything is written.
            stays: whether the bar is left on the terminal at the end.
            report: takes a line every 30 seconds; None for stderr, or a bar if that is a terminal.
            clock: seconds.
        """
        self._title, self._total, self._unit, self._units = title, total, unit, units
        self._done_before, self._show_progress = done_before, show_progress
        self._report, self._clock = report or print_line, clock
        self._last_report = clock()
        self._done = 0
        self._first: tuple[float, int] | None = None  # time and number of the first that were done
        self._bar = tqdm(
            desc=title,
            unit=unit,
            total=total,
            initial=done_before,
            leave=stays,
            disable=True if report or not show_progress else None,  # None: where nobody watches
        )

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count what is done.

        Args:
            count: how many more.
            note: what to tell besides.
        """
        self._done += count
        now = self._clock()
        if self._first is None:
            self._first = now, count
            self._bar.unpause()  # its clock begins here, too
        if not self._bar.disable:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif self._show_progress and now - self._last_report >= _REPORT_SECONDS:
            self._last_report = now
            self._report(self._line(note, now))

    def _line(self, note: str, now: float) -> str:
        ended = self._done_before + self._done
        told = [f"{self._title}: {ended} of {counted(self._total, self._unit, self._units)}"]
        told += [note] if note else []
        return ", ".join([*told, *self._estimate(now, self._total - ended)])

    def _estimate(self, now: float, left: int) -> list[str]:
        """The rate and the time that is left, as soon as the time since the first tells them."""
        assert self._first is not None
        start, first = self._first
        seconds, done = now - start, self._done - first
        if not done or seconds < _LEAST_SECONDS:
            return []
        time_left = datetime.timedelta(seconds=round(seconds / done * left))
        return [f"{done / seconds:.2f} a second", f"{time_left} left"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()


def with_progress(
    items: Iterable[Item],
    title: str,
    unit: str,
    units: str | None = None,
    *,
    total: int | None = None,
    show_progress: bool = True,
    stays: bool = True,
) -> Iterator[Item]:
    """Go through items with a :class:`Progress`.

    Args:
        items: a list, or an iterable whose ``total`` is given.
        title: what is done.
        unit: what is counted, in the singular.
        units: in the plural, see :func:`counted`.
        total: how many there are.
        show_progress: whether anything is written.
        stays: whether the bar is left on the terminal at the end.
    """
    if total is None:
        assert isinstance(items, Sized)
        total = len(items)
    with Progress(title, total, unit, units, show_progress=show_progress, stays=stays) as progress:
        for item in items:
            yield item
            progress.advance()


def print_line(line: str) -> None:
    """Print a line at once, beside what is printed as a result."""
    print(line, file=sys.stderr, flush=True)
