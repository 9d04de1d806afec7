"""Hashes by which records name the content of a file."""

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
