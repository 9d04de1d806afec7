"""Appending to the part of a shard, so that neither a kill nor a crash leaves more than it says."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from io import RawIOBase
from pathlib import Path
from typing import Any

from medmask.inference.options import Shard
from medmask.inference.part_files import Failure, count_of, mark_of, part_files, write_mark
from medmask.inference.prediction_parts import HEADER
from medmask.inference.prediction_record import DONE, PredictionRecord, format_line
from medmask.utils.file_lock import lock_file
from medmask.utils.files import errors_name, sync_folder, write_all

_SYNC_SECONDS = 5.0
"""Most that a crash of the machine may cost; on each line a disk would spend milliseconds."""


class PartWriter:
    """The part of a shard, opened by :func:`open_part`.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, file: RawIOBase) -> None:
        self.path = path
        self._file = file
        self._run = secrets.token_hex(8)
        self._synced = time.monotonic()

    def start(self, settings: Mapping[str, Any], *, go_on: bool) -> None:
        """Drop a last line that is cut off, or all that is there, and write the first line.

        Args:
            settings: what the predictions depend on, as JSON values.
            go_on: whether to keep what is there.
        """
        mark_of(self.path).unlink(missing_ok=True)
        self._file.seek(0)
        size, whole = 0, 0
        while block := self._file.read(2**20):
            end = block.rfind(b"\n") + 1
            whole = size + end if end else whole
            size += len(block)
        kept = whole if go_on else 0
        if kept < size:  # or the file would seem to have been written to
            self._file.truncate(kept)
        if not kept:
            self._write(HEADER | {"settings": dict(settings)})
        self._sync()
        sync_folder(self.path.parent)

    def append(self, record: PredictionRecord) -> int:
        """Append a record, that of a failure with the run; returns its place, in bytes."""
        record = record if record.status == DONE else replace(record, run=self._run)
        offset = self._write(asdict(record))
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            self._sync()
        return offset

    def finish(
        self, *, images: int, listed: int, list_digest: str, left_out: Iterable[Failure] = ()
    ) -> None:
        """Say that all images of the shard have come to their end.

        Args:
            images: how many it has.
            listed: how many all shards have.
            list_digest: see :func:`write_mark`.
            left_out: likewise.
        """
        self._sync()  # the mark must not outlive what it speaks of
        write_mark(
            self.path, images=images, listed=listed, list_digest=list_digest, left_out=left_out
        )

    def _sync(self) -> None:
        """Have all lines outlive a crash of the machine."""
        with errors_name(self.path):
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def _write(self, content: Mapping[str, Any]) -> int:
        line = format_line(content)
        offset = self._file.seek(0, os.SEEK_END)
        with errors_name(self.path):
            write_all(self._file, line)
        return offset


@contextlib.contextmanager
def open_part(folder: Path, shard: Shard) -> Iterator[PartWriter]:
    """Open the part of a shard, which only one process can at a time.

    Args:
        folder: of the predictions; it is created if it does not exist.
        shard: whose part it is.

    Raises:
        InputError: another process has the part open, or one of another number of shards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / shard.file_name
    with open(path, "a+b", buffering=0) as file:  # a line is written at once, or fails at once
        _lock(file, path)
        for other in part_files(folder):
            if count_of(other) != shard.count:
                with open(other, "rb", buffering=0) as foreign:
                    _lock(foreign, other, is_shared=True)
        yield PartWriter(path, file)


def _lock(file: RawIOBase, path: Path, *, is_shared: bool = False) -> None:
    sentence = (
        f"another process is writing {path}: wait for its end, or choose another output folder"
    )
    lock_file(file, sentence, is_shared=is_shared)
