"""The signals that ask a process to end: Ctrl-C, ``kill``, a terminal or a batch system that goes.

A process that gets one of them by default ends at once, or, on Ctrl-C, with KeyboardInterrupt
wherever it happens to be.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class StoppedBySignal(BaseException):
    """A signal asked the process to end, and it does.

    Like KeyboardInterrupt it is no Exception, so that code that handles errors lets it pass.
    """

    def __init__(self, number: int, message: str = "") -> None:
        """Create the exception.

        Args:
            number: of the signal.
            message: a sentence for the user; by default it names the signal.
        """
        self.number = number
        super().__init__(message or f"stopped by {signal.Signals(number).name}")

    def __reduce__(self) -> tuple:
        return type(self), (self.number, str(self))

    @property
    def status(self) -> int:
        """The exit status by which shells tell a process that a signal ended."""
        return 128 + self.number


@contextlib.contextmanager
def handle_stop_signals(handler: Callable[[int], None]) -> Iterator[None]:
    """Call ``handler`` with the number of each stop signal that comes while in this context.

    A signal that is ignored stays so: ``nohup`` and shells' background jobs rely on it. Handlers
    work in the main thread only; in another one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in STOP_SIGNALS:
        # None: a handler that was not installed from Python, which could not be put back
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, lambda received, frame: handler(received))
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextlib.contextmanager
def raise_on_stop_signal() -> Iterator[None]:
    """Raise :class:`StoppedBySignal` where the process is; a second signal ends it at once."""

    def stop(number: int) -> None:
        for each in STOP_SIGNALS:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, signal.SIG_DFL)
        raise StoppedBySignal(number)

    with handle_stop_signals(stop):
        yield
