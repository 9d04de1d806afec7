"""Failures that end a run when the iteration under way is complete, in all processes alike."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from medmask.engine.stop_request import StopRequest
from medmask.utils.shared_failure import choose_shared, raise_together, to_message
from medmask.utils.signals import StoppedBySignal


class StepFailures:
    """Keeps the first failure of this process, and what the processes tell each other of theirs.

    A signal that asks to stop is one of them.
    """

    def __init__(self, stop_request: StopRequest) -> None:
        """Create it without a failure.

        Args:
            stop_request: takes note of signals.
        """
        self._stop_request = stop_request
        self._own: BaseException | None = None
        self._shared: BaseException | None = None

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep an error that is raised in this context."""
        try:
            yield
        except Exception as error:
            self._own = self._own or error

    def run_interruptible(self, work: Callable[[], None]) -> None:
        """Do what a signal ends at once, or keeps from beginning; an error is kept."""
        try:
            with self._stop_request.interrupting():
                work()
        except (Exception, StoppedBySignal) as failure:
            self._note_signal()  # which ends the loader's processes, too: no fault of theirs
            self._own = self._own or failure

    def message(self) -> BaseException | None:
        """Return what the other processes are to know of this one's failure."""
        self._note_signal()
        return to_message(self._own)

    def share(self, messages: Sequence[BaseException | None]) -> None:
        """Take the messages of all processes, exchanged."""
        self._shared = choose_shared(self._own, messages)

    def raise_together(self) -> None:
        """Raise in all processes if any has a failure; every process must call this."""
        raise_together(self._own)

    def raise_after_step(self, *, is_last: bool) -> None:
        """Raise what was shared.

        Args:
            is_last: raise what came since then, too, as nothing is shared any more.

        Raises:
            BaseException: the failure, of whatever kind; none if there is none.
        """
        self._note_signal()
        failure = self._shared or (self._own if is_last else None)
        if failure is not None:
            raise failure

    def _note_signal(self) -> None:
        if self._stop_request.number is not None:
            self._own = self._own or StoppedBySignal(self._stop_request.number)
