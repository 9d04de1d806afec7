"""Exceptions in one sentence: faults of the input, of disk or memory, and signals."""

import errno
import os
import sys
from typing import NamedTuple

from medmask.errors import InputError
from medmask.utils.signals import StoppedBySignal

_ADVICE: dict[int | None, str] = {
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


class Failure(NamedTuple):
    """The end of a tool that fails."""

    status: int
    """its exit status"""
    sentence: str
    """printed to stderr; nothing if empty"""


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
        return Failure(2, f"error: {describe_os_error(error)}")
    if is_out_of_memory(error):
        reason = str(error).strip().partition("\n")[0]
        advice = "use a smaller batch, smaller images or fewer workers"
        return Failure(2, f"error: out of memory: {advice}" + (f" ({reason})" if reason else ""))
    return None


def one_line(error: BaseException | str) -> str:
    """The words of an exception, without the breaks and indents of its lines."""
    return " ".join(str(error).split())


def describe_os_error(error: OSError) -> str:
    """The path, the reason and what to do, as far as the error tells them, in one line."""
    if error.strerror is None:  # a library's own words
        return one_line(error)
    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    reason = error.strerror[0].lower() + error.strerror[1:]
    advice = _ADVICE.get(error.errno)
    return ": ".join(filter(None, (" -> ".join(names), reason, advice)))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, that of the machine or that of a GPU."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
