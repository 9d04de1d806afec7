"""One run at a time in a folder."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from medmask.errors import InputError

logger = logging.getLogger(__name__)

LOCK = "run.lock"
_held: set[Path] = set()


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Keep other runs out of a folder while in this context.

    ``run.lock`` in the folder tells process, machine and time. What counts is the operating
    system's lock on it (POSIX ``fcntl``, which network file systems know, too), and that goes with
    the process however it ends: a file that a killed run left behind keeps nobody out.

    Raises:
        InputError: another run is in the folder; names its process.
    """
    path = Path(folder).resolve() / LOCK
    if path in _held:
        raise InputError(f"{folder} is in use by another run of this very process")
    descriptor = _open_locked(path)
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, path)
            # The run that had the lock before may have removed the file that we had opened.
            if _is_still_there(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _own_description())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            logger.warning(
                f"{path} cannot be locked ({error.strerror}), so nothing keeps a second run out of "
                "its folder"
            )
            return
        raise InputError(
            f"{path.parent} is in use by another run{_describe_holder(descriptor)}: stop it, wait "
            "for its end, or choose another train.output_dir"
        ) from None


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _own_description() -> bytes:
    description = {
        "process": os.getpid(),
        "machine": socket.gethostname(),
        "since": datetime.now().isoformat(sep=" ", timespec="seconds"),
    }
    return json.dumps(description).encode()


def _describe_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f", process {holder['process']} on {holder['machine']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun
        return ""
