"""Checksums of a store's own files, so that a damaged or edited one is not trained on.

Arrays are compared with the size and the SHA-256 that a JSON file lists; the JSON files hold their
own SHA-256.
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medmask.errors import InputError
from medmask.utils.files import atomic_write

_OWN_CHECKSUM = "sha256"


class Checksum(NamedTuple):
    """The size and the hash of a file."""

    size: int  # bytes
    sha256: str  # 64 hexadecimal digits


def take_checksum(path: Path) -> Checksum:
    """Hash a regular file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Checksum(os.fstat(file.fileno()).st_size, digest)


def check_size(path: Path, expected: Checksum) -> None:
    """Check that a file is there in its size; its content is not read.

    Raises:
        InputError: it is not.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise damaged(path, "it is no regular file")
    if status.st_size != expected.size:
        raise damaged(path, f"it has {status.st_size} of {expected.size} bytes")


def open_array(path: Path, expected: Checksum) -> np.ndarray:
    """Open an .npy file memory-mapped, for reading, after its content was compared.

    Returns:
        A plain array, because indexing ``numpy.memmap`` is several times slower; its ``base`` is
        the map.

    Raises:
        InputError: it is absent, or its content is not what was written.
    """
    check_size(path, expected)
    try:
        found = take_checksum(path)
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from None
    if found != expected:
        raise damaged(path, "its content is not what was written")
    return np.lib.format.open_memmap(path, mode="r").view(np.ndarray)


def damaged(path: Path, reason: str) -> InputError:
    """Make the error about a damaged file of a store."""
    return InputError(
        f"{path} of an expert store cannot be read ({reason}): run "
        "medmask extract-embeddings again with the same options, which makes damaged parts "
        "anew"
    )


def write_hashed_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, as a whole or not at all, with the SHA-256 of its content."""
    with atomic_write(path, "w") as file:
        json.dump({**content, _OWN_CHECKSUM: hash_json(content)}, file, indent=1)


def read_hashed_json(path: Path) -> dict[str, Any]:
    """Read what :func:`write_hashed_json` has written.

    Raises:
        OSError: the file is absent, or no regular file.
        ValueError: it is no such file, or its content is not what was written.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is no regular file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    if content.pop(_OWN_CHECKSUM, None) != hash_json(content):
        raise ValueError("its content is not what was written")
    return content


def hash_json(content: Any) -> str:
    """Hash a JSON value, however it is laid out in a file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
