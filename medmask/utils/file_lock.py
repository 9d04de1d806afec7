"""Locks on files that only one process may write at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import IO

from medmask.errors import InputError


def lock_file(file: IO | RawIOBase | int, sentence: str, *, is_shared: bool = False) -> None:
    """Lock an open file until it is closed; a network file system without locks passes.

    Args:
        file: to lock, or the descriptor of a file or folder.
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


@contextlib.contextmanager
def locked_folder(folder: Path, sentence: str) -> Iterator[None]:
    """Lock a folder meanwhile, as :func:`lock_file` does a file; nothing is written into it.

    Raises:
        InputError: another process has locked it.
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock_file(descriptor, sentence)
        try:
            yield
        finally:
            # processes that were forked meanwhile hold the descriptor, and with it the lock
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)
