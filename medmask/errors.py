"""Errors that a user can act on, and how command-line tools show them."""

import contextlib
import errno
import functools
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from medmask.utils.parent import end_with_calling_tool
from medmask.utils.signals import StoppedBySignal, raise_on_stop_signal

_ADVICE = {
    errno.EACCES: "check its permissions, or choose another path",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EEXIST: "something of that name is in the way: choose another path",
    errno.EISDIR: "a folder of that name is in the way: choose another path",
    errno.EMFILE: "raise the limit (ulimit -n), or use fewer workers",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOSPC: "free some space, or choose another folder",
    errno.ENOTDIR: "a file is where a folder should be: choose another path",
    errno.EPERM: "check its permissions, or choose another path",
    errno.EROFS: "choose a folder that can be written",
}


class InputError(ValueError):
    """A fault in what the user gave: a file, a field, a config key.

    The message is complete by itself: it names the file, the field or the config key at fault and
    says what to do. Command-line tools print it without a traceback; see
    :func:`command_line_tool`.
    """


class Failure(NamedTuple):
    """What a tool tells when it fails."""

    status: int
    """its exit status"""
    sentence: str
    """what it prints; nothing if empty"""


def describe_failure(error: BaseException) -> Failure | None:
    """The status and the sentence by which a tool ends on an exception.

    Returns:
        For faults of the input, of disk or memory, and signals. None for any other exception,
        which is a fault of ours and keeps its traceback.
    """
    if isinstance(error, StoppedBySignal):
        return Failure(error.status, str(error))
    if isinstance(error, KeyboardInterrupt):
        return Failure(130, "interrupted")
    if isinstance(error, InputError | FloatingPointError):
        return Failure(2, f"error: {error}")
    if isinstance(error, OSError):
        return Failure(2, f"error: {_describe_os_error(error)}")
    if _is_out_of_memory(error):
        reason = str(error).strip().partition("\n")[0]
        advice = "use a smaller batch, smaller images or fewer workers"
        return Failure(2, f"error: out of memory: {advice}" + (f" ({reason})" if reason else ""))
    return None


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
        _print_any_name()
        try:
            with raise_on_stop_signal():
                end_with_calling_tool()
                status = main(*args, **kwargs) or 0
                _flush_stdout()
        except BaseException as error:
            if isinstance(error, BrokenPipeError) and _nobody_reads_stdout():
                failure = Failure(128 + signal.SIGPIPE, "")
            else:
                failure = describe_failure(error)
            if failure is None:
                raise
            status = failure.status
            _drop_what_cannot_be_printed()
            if failure.sentence:
                with contextlib.suppress(OSError):
                    print(failure.sentence, file=sys.stderr)
        sys.exit(status)

    return run


def _print_any_name() -> None:
    """Have file names that are not valid Unicode printed with escapes, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _describe_os_error(error: OSError) -> str:
    """One sentence with the path, the reason and what to do."""
    if error.strerror is None:  # a library's own words
        return " ".join(str(error).split())
    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    reason = error.strerror[0].lower() + error.strerror[1:]
    advice = _ADVICE.get(error.errno)
    return ": ".join(filter(None, (" -> ".join(names), reason, advice)))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _flush_stdout() -> None:
    """Write what is buffered now, where a failure can still be told."""
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


def _nobody_reads_stdout() -> bool:
    """Whether stdout is a pipe whose other end was closed."""
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
