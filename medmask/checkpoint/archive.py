"""Checksums of the zip archives that ``torch.save`` writes, which ``torch.load`` does not compare.

Every entry of such an archive is stored as it is, with its CRC-32 in the directory at the end.
"""

import os
import zipfile

from medmask.errors import InputError

MAGIC = b"PK\x03\x04"
_BLOCK = 1 << 20


def check_archive(path: str | os.PathLike) -> None:
    """Read every entry of an archive and compare it with its checksum.

    The time is that of reading the file once. ``torch.load`` finds entries by their names without
    regard to case and expands compressed ones; neither duplicates nor compression are what
    ``torch.save`` writes.

    Raises:
        InputError: the file is damaged, or no archive as ``torch.save`` writes it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            fault = _find_fault(entries, os.path.getsize(path))
            if fault is None:
                for entry in entries:
                    _read(archive, entry)
    except MemoryError:
        raise
    except Exception:  # bytes of any kind come in, so any error comes out
        fault = "an entry does not agree with its checksum, or the directory of entries is broken"
    if fault is not None:
        raise InputError(
            f"checkpoint {path} is damaged or cut off ({fault}): copy or download it again, or use "
            "another one"
        )


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read an entry to its end, where its checksum is compared."""
    with archive.open(entry) as file:
        while file.read(_BLOCK):
            pass


def _find_fault(entries: list[zipfile.ZipInfo], size: int) -> str | None:
    if not entries or min(entry.header_offset for entry in entries) != 0:
        return "it does not begin with an entry"
    if len({entry.filename.casefold() for entry in entries}) < len(entries):
        return "it has two entries of one name"
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        return "entries are compressed"
    if sum(entry.file_size for entry in entries) > size:
        return "entries are larger than the file"
    return None
