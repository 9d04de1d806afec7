"""Running tools of the project as processes that stop, and end, with this one."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from medmask.utils.parent_process import PARENT_VARIABLE
from medmask.utils.signals import StoppedBySignal, handle_stop_signals


class ChildTools:
    """Runs tools, several at a time if they are called from several threads.

    A signal that asks this process to stop is passed on to all of them, each of which saves what it
    has done and ends; then :class:`StoppedBySignal` is raised. If this process is killed, they are
    asked to stop, too.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopped_by: int | None = None

    @contextlib.contextmanager
    def passing_signals_on(self) -> Iterator[None]:
        """Pass signals on while in this context; to be entered in the main thread.

        Raises:
            StoppedBySignal: on leaving, if a signal came.
        """
        with handle_stop_signals(self._pass_on):
            yield
        self._raise_if_stopped()

    def run(
        self,
        arguments: Sequence[str],
        output: IO | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Run Python with arguments; returns its exit status.

        Args:
            arguments: a file, or ``-m`` and a module, and what follows it.
            output: takes what the tool prints, errors included; None leaves that to the terminal.
            environment: variables that it gets besides this process's.

        Raises:
            StoppedBySignal: a signal came, before or while it ran.
        """
        with self._lock:
            self._raise_if_stopped()
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                env={**os.environ, **(environment or {}), PARENT_VARIABLE: str(os.getpid())},
                start_new_session=True,  # Ctrl-C reaches it once, from here
            )
            self._running.add(process)
        if self._stopped_by is not None:  # it came when the process was not in the list yet
            process.send_signal(self._stopped_by)
        status = process.wait()
        self._running.discard(process)
        self._raise_if_stopped()
        return status

    def _pass_on(self, number: int) -> None:
        self._stopped_by = self._stopped_by or number
        for process in list(self._running):
            process.send_signal(number)

    def _raise_if_stopped(self) -> None:
        if self._stopped_by is not None:
            raise StoppedBySignal(self._stopped_by)
