"""Signatures of images, by which a store notices that a data set has changed."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medmask.errors import InputError


class FileSignature(NamedTuple):
    """The content of a file; size and time of change make it cheap to check again."""

    sha256: bytes  # 32 bytes
    size: int  # bytes
    mtime_ns: int


def sign_file(path: str | os.PathLike) -> FileSignature:
    """Hash a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise InputError(f"image {path} cannot be read ({error.strerror})") from error
    return FileSignature(digest, status.st_size, status.st_mtime_ns)


def has_signature(path: str | os.PathLike, signature: FileSignature) -> bool:
    """Compare a file with a signature; it is read only if its time of change differs.

    Raises:
        InputError: it is absent or cannot be read.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"image {path} cannot be read ({error.strerror})") from error
    if status.st_size != signature.size:
        return False
    if status.st_mtime_ns == signature.mtime_ns:
        return True
    return sign_file(path).sha256 == signature.sha256


def image_key(image_id: int | str) -> bytes:
    """Make the key of an image in a store; the ids 7 and "7" are different images.

    Raises:
        InputError: the id is neither an integer nor a text.
    """
    if isinstance(image_id, str):
        return b"s" + image_id.encode()
    if isinstance(image_id, (int, np.integer)) and not isinstance(image_id, bool):
        return b"i%d" % int(image_id)
    raise InputError(f"image id {image_id!r} is neither an integer nor a text: change image_id")
