"""Hashes by which records name the content of a file."""

import functools
import hashlib
import os

from medmask.errors import InputError

HASH_LENGTH = 16
"""Characters of a SHA-256 by which records of detections name a file or a config"""


def hash_file(path: str | os.PathLike) -> str:
    """SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_weights_file(path: str | os.PathLike) -> str:
    """SHA-256 of a checkpoint's file, 64 hexadecimal digits.

    Raises:
        InputError: there is no such file.
    """
    try:
        return hash_file(path)
    except OSError as error:
        raise InputError(f"checkpoint {path} cannot be read: {error.strerror}") from None


def hash_if_there(path: str | os.PathLike | None) -> str | None:
    """SHA-256 of a file, 64 hexadecimal digits; None if there is none, or it cannot be read.

    A file that has not changed since the last call is not read again.
    """
    if path is None:
        return None
    try:
        status = os.stat(path)
        return _hash_version(os.fspath(path), status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@functools.cache
def _hash_version(path: str, mtime_ns: int, size: int) -> str:
    return hash_file(path)
