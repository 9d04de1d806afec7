"""Checksums of a store's own files, so that a damaged or edited one is not trained on."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from medmask.errors import InputError


class Checksum(NamedTuple):
    """The size and the hash of a file."""

    size: int  # bytes
    sha256: str  # 64 hexadecimal digits


def take_checksum(path: Path) -> Checksum:
    """Hash a file.

    Raises:
        OSError: it is absent, no regular file, or cannot be read.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for its other end
        raise OSError("it is no regular file")
    with path.open("rb") as file:
        return Checksum(status.st_size, hashlib.file_digest(file, "sha256").hexdigest())


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


def check_content(path: Path, expected: Checksum) -> None:
    """Check that a file has the content that was written; it is read once.

    Raises:
        InputError: it has not.
    """
    check_size(path, expected)
    try:
        found = take_checksum(path)
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from None
    if found != expected:
        raise damaged(path, "its content is not what was written")


def open_array(path: Path, expected: Checksum) -> np.ndarray:
    """Open an .npy file memory-mapped, for reading, after :func:`check_content`.

    Returns:
        A plain array, because indexing ``numpy.memmap`` is several times slower; its ``base`` is
        the map.

    Raises:
        InputError: it is absent or damaged.
    """
    check_content(path, expected)
    return map_array(path)


def map_array(path: Path) -> np.ndarray:
    """:func:`open_array` without a check of the content."""
    try:
        return np.lib.format.open_memmap(path, mode="r").view(np.ndarray)
    except Exception as error:  # bytes of any kind come in, so any error comes out
        raise damaged(path, " ".join(str(error).split())[:200]) from None


def damaged(path: Path, reason: str) -> InputError:
    """The error about a damaged file of a store."""
    return InputError(
        f"{path} of an expert store cannot be read ({reason}): run "
        "tools/extract_expert_embeddings.py again with the same options, which makes damaged parts "
        "anew"
    )


def parse_checksums(content: Any) -> dict[str, Checksum]:
    """Checksums from the form that they have in JSON, ``{file name: [size, sha256]}``.

    Raises:
        ValueError: the content is of another form.
    """
    if not isinstance(content, Mapping):
        raise ValueError("checksums are no mapping")
    checksums = {}
    for name, value in content.items():
        if not isinstance(value, list) or [type(x) for x in value] != [int, str]:
            raise ValueError(f"the checksum of {name} is not [size, sha256]")
        checksums[name] = Checksum(*value)
    return checksums


def group_by_folder(checksums: Mapping[str, Checksum]) -> dict[str, dict[str, Checksum]]:
    """Checksums by path as ``{folder: {file name: checksum}}``; the top folder is ``"."``."""
    groups: dict[str, dict[str, Checksum]] = defaultdict(dict)
    for name, checksum in checksums.items():
        path = PurePosixPath(name)
        groups[str(path.parent)][path.name] = checksum
    return groups
