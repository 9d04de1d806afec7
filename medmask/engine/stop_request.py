"""Stopping a run between two steps, when a signal asks for it."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from medmask.utils.signals import StoppedBySignal, handle_stop_signals

_SAME_EVENT = 0.25
"""Seconds in which a signal that comes again is the same event: Ctrl-C reaches every process of a
terminal, and those that started others pass it on."""
_SAME_EVENT_OF_ANOTHER_KIND = 1.0
"""Seconds for another signal: torchrun passes Ctrl-C on as SIGTERM."""


class StopRequest:
    """Takes note of the first signal that asks the process to end; a second one ends it at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        """of the signal that came"""
        self._time = 0.0
        self._may_raise = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take note of signals, instead of what they did before, while in this context."""
        with handle_stop_signals(self._receive):
            yield

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise :class:`StoppedBySignal` at once in this context, or on entering it.

        For work that may take long and can be given up anywhere, such as waiting for images.
        """
        if self.number is not None:
            raise StoppedBySignal(self.number)
        self._may_raise = True
        try:
            yield
        finally:
            self._may_raise = False

    def _receive(self, number: int) -> None:
        now = time.monotonic()
        if self.number is None:
            self.number, self._time = number, now
            if self._may_raise:
                raise StoppedBySignal(number)
            return
        same = _SAME_EVENT if number == self.number else _SAME_EVENT_OF_ANOTHER_KIND
        if now - self._time > same:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
