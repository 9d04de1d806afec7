"""The hash by which records name the content of a file."""

import hashlib
import os


def hash_file(path: str | os.PathLike) -> str:
    """SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
