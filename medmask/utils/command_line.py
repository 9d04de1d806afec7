"""Ends of command-line tools: a status, and one sentence instead of a traceback."""

import contextlib
import functools
import io
import os
import re
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

from medmask.utils.failures import Failure, describe_failure
from medmask.utils.parent_process import end_with_calling_tool
from medmask.utils.signals import raise_on_stop_signal

_STDERR = 2
"""Number of the file, the last of the standard streams"""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that move the cursor, color, delete or turn round; tabs and line ends are left"""


def command_line_tool(main: Callable[..., int | None]) -> Callable[..., None]:
    """Turn ``main`` into an entry point that exits with a status.

    The status is what ``main`` returns (None means 0). What :func:`describe_failure` knows is
    printed to stderr as one line: an :class:`InputError`, a full disk or the like gives the status
    2, a signal 128 and its number (Ctrl-C 130, SIGTERM 143, SIGHUP 129). If nobody reads stdout any
    more, the tool ends without a word, with 141. Any other exception is a fault of ours and keeps
    its traceback.
    """

    @functools.wraps(main)
    def run(*args: Any, **kwargs: Any) -> None:
        _replace_closed_streams()
        _print_any_name()
        try:
            with raise_on_stop_signal():
                end_with_calling_tool()
                status = main(*args, **kwargs) or 0
                _flush_stdout()
        except BaseException as error:
            failure = describe_failure(error)
            if isinstance(error, BrokenPipeError) and _nobody_reads_stdout():
                failure = Failure(128 + signal.SIGPIPE, "")
            if failure is None:
                raise
            status = failure.status
            _drop_what_cannot_be_printed()
            if failure.sentence:
                with contextlib.suppress(OSError):
                    print(_without_controls(failure.sentence), file=sys.stderr)
        sys.exit(status)

    return run


def _replace_closed_streams() -> None:
    """Have streams that the caller closed, as by ``>&-``, lead nowhere.

    Otherwise files that are opened would take their numbers, and with them what C libraries print.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _print_any_name() -> None:
    """Have file names that are not valid Unicode printed with escapes, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _without_controls(text: str) -> str:
    """Escape what acts on a terminal: names and texts of files may hold anything."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def _flush_stdout() -> None:
    """Write what is buffered now, where a failure can still be told."""
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


def _nobody_reads_stdout() -> bool:
    """Tell whether stdout is a pipe whose other end was closed."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), select.POLLOUT)
    except (OSError, ValueError):  # no file of the operating system
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _drop_what_cannot_be_printed() -> None:
    """Silence a stdout that takes no more, or Python would complain at exit."""
    try:
        if not _nobody_reads_stdout():
            sys.stdout.flush()
            return
    except (OSError, ValueError):
        pass
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
