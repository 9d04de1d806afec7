"""Writing files so that a crash never leaves half of one."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import IO

_TEMPORARY = re.compile(r"\..+\.((?P<machine>[0-9a-f]{8})-)?(?P<process>\d+)\.[a-z0-9_]{8}\.part")
"""Name of a file that is being written: final name, machine, process, random characters."""

_ABANDONED_SECONDS = 24 * 3600.0
"""Age of a file of another machine, whose processes nobody here can see"""

_being_written: set[Path] = set()
"""by this process"""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file beside ``path`` and rename it to ``path`` when the block succeeds.

    Readers see the old content or the new content, never a part of it, also after a crash of the
    machine; once the block has ended, a crash finds the new one. If the block raises, the
    temporary file is removed and ``path`` is left as it was; what a killed process leaves is
    removed by :func:`remove_abandoned_files`. Missing parent folders are created.

    Args:
        path: the file to write.
        mode: ``"wb"`` or ``"w"`` (UTF-8).

    Raises:
        OSError: the file cannot be written; it names ``path``.
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    with errors_name(path):
        _check_replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # of the name only what leaves room for the rest within the 255 bytes of a name
        prefix = f".{path.name[:40]}.{_this_machine()}-{os.getpid()}."
        with _all_errors_name(path):
            descriptor, temporary = _create(path.parent.absolute(), prefix)
        _being_written.add(temporary)
        try:
            with os.fdopen(descriptor, mode, encoding=encoding) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        finally:
            _being_written.discard(temporary)


def _create(folder: Path, prefix: str) -> tuple[int, Path]:
    """Open a new file with the permissions that new files get.

    The operating system applies the umask: to read it is to change it, for all threads at once.
    """
    while True:
        path = folder / f"{prefix}{secrets.token_hex(4)}.part"
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), path


def write_all(file: RawIOBase, data: bytes) -> None:
    """Write to an unbuffered file, which takes only a part where its disk is nearly full."""
    while data:
        data = data[file.write(data) :]


def sync_folder(folder: str | os.PathLike) -> None:
    """Have the names of a folder's files outlive a crash of the machine.

    File systems that cannot do so, such as some over a network, are left to their own ways.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder to write into, but not to list
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            error.filename = os.fspath(folder)
            raise
    finally:
        os.close(descriptor)


def check_output_folder(folder: str | os.PathLike) -> None:
    """Raise before the work what writing into a folder would raise after it.

    The folder is created if it is missing.

    Raises:
        OSError: the folder cannot be created or written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _all_errors_name(folder), tempfile.TemporaryFile(dir=folder):
        pass


def check_output_file(path: str | os.PathLike) -> None:
    """Raise before the work what writing a file would raise after it.

    Raises:
        OSError: the file cannot be written, or something that is no file has its name.
    """
    _check_replaceable(Path(path))
    check_output_folder(Path(path).parent)


def _check_replaceable(path: Path) -> None:
    """A rename would put a file in the place of a device, such as /dev/null, as well."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


@contextlib.contextmanager
def errors_name(path: str | os.PathLike) -> Iterator[None]:
    """Have an OSError that names no file, such as that of a full disk, name ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def _all_errors_name(path: Path) -> Iterator[None]:
    """Have any OSError name ``path``, in the place of a temporary file that nobody knows."""
    try:
        yield
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def remove_abandoned_files(folder: str | os.PathLike) -> list[Path]:
    """Remove what processes that were killed inside of :func:`atomic_write` left in a folder.

    Files of processes that are alive on this machine are left alone, and so are, for a day, those
    of other machines, which may share the folder.

    Args:
        folder: is searched with all folders in it.

    Returns:
        The removed files.
    """
    removed = []
    for path in Path(folder).rglob(".*.part"):
        match = _TEMPORARY.fullmatch(path.name)
        with contextlib.suppress(FileNotFoundError):
            if match and path.is_file() and _is_abandoned(path, match):
                path.unlink()
                removed.append(path)
    return removed


def _is_abandoned(path: Path, match: re.Match) -> bool:
    if match["machine"] not in (None, _this_machine()):
        return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
    process = int(match["process"])
    if process == os.getpid():  # in containers the killed process often had the same number
        return path.absolute() not in _being_written
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return _has_ended(process)


def _has_ended(process: int) -> bool:
    """Tell whether a process is dead and only waits to be collected, which nobody may ever do.

    In a container, the first process seldom collects those whose parents were killed.
    """
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):  # no Linux, or collected by now
        return False
    return state in (b"Z", b"X")


def _this_machine() -> str:
    """Eight hexadecimal digits that tell machines, and containers, of a shared folder apart."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
