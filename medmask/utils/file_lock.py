"""Locks on files that only one process may write at a time."""

import fcntl
from io import RawIOBase
from typing import IO

from medmask.errors import InputError


def lock_file(file: IO | RawIOBase, sentence: str, *, is_shared: bool = False) -> None:
    """Lock an open file until it is closed; a network file system without locks passes.

    Args:
        file: to lock.
        sentence: of the error.
        is_shared: whether others may lock it so, too.

    Raises:
        InputError: another process has locked it.
    """
    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(sentence) from None
    except OSError:
        pass
