"""A record of predictions that grows by one line an image, so that a kill loses no finished image.

The first line tells what the predictions depend on; every other line is a :class:`JournalEntry`;
each has a checksum. Lines are only ever appended: a process that is killed can leave no more than a
last line that is cut off, and that image is predicted on again.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.utils.files import errors_name

_HEADER = {"format": "medmask predictions", "version": 1}
_CHECKSUM = "sha256"  # of the rest of a line, as JSON; the last key of each
_HEADER_START = json.dumps(_HEADER).encode()[:-1]

Key = tuple[str, int | None, int | str | None]


@dataclass(frozen=True)
class JournalEntry:
    """Outcome of one image.

    Attributes:
        path: the file, absolute and without links.
        frame: of a file of several frames, counted from 0.
        image_id: of its data set.
        bytes: size of the file when it was read.
        modified: its modification time then, in nanoseconds.
        status: ``done`` or ``failed``.
        error: a sentence, if it failed.
        overlay: name of its picture, if one was drawn.
        detections: in COCO's result format.
    """

    path: str
    frame: int | None
    image_id: int | str | None
    bytes: int | None
    modified: int | None
    status: str
    error: str | None = None
    overlay: str | None = None
    detections: tuple[dict[str, Any], ...] = ()

    @property
    def key(self) -> Key:
        return self.path, self.frame, self.image_id

    @property
    def is_done(self) -> bool:
        return self.status == "done"


@contextlib.contextmanager
def open_journal(
    path: Path, settings: Mapping[str, Any], *, overwrite: bool = False
) -> Iterator["PredictionJournal"]:
    """Open a journal, which only one process can at a time.

    Args:
        path: the file; it is created if it does not exist.
        settings: what the predictions depend on (weights, config, options), as JSON values.
        overwrite: forget what the file holds.

    Raises:
        InputError: another process has the file open, or predictions were made with other settings,
            or the file is no journal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b", buffering=0) as file:  # a line is written at once, or fails at once
        _lock(file, path)
        if overwrite:
            file.truncate(0)
        yield PredictionJournal(path, file, settings)


def _lock(file: RawIOBase, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"another process is writing {path}: wait for its end, or choose another output folder"
        ) from None
    except OSError:
        pass  # a network file system without locks


class PredictionJournal:
    """The journal of a run of predictions; :func:`open_journal` opens one.

    Attributes:
        path: the file.
        entries: by image; of an image that was tried several times the last.
    """

    def __init__(self, path: Path, file: RawIOBase, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.entries: dict[Key, JournalEntry] = {}
        self._file = file
        self._read(settings)

    def append(self, entry: JournalEntry) -> None:
        """Add an image."""
        self._write(asdict(entry))
        self.entries[entry.key] = entry

    def _read(self, settings: Mapping[str, Any]) -> None:
        self._file.seek(0)
        *whole, cut_off = self._file.read().split(b"\n")
        lines = [self._parse(i, line) for i, line in enumerate(whole)]
        if lines:
            self._check_header(lines[0])
        elif not cut_off.startswith(_HEADER_START[: len(cut_off)]):
            raise self._broken(0)
        entries = [self._to_entry(i, line) for i, line in enumerate(lines[1:], start=1)]
        if any(entry.is_done for entry in entries):
            self._check_settings(lines[0]["settings"], settings)
            self.entries = {entry.key: entry for entry in entries}
            self._file.truncate(self._file.tell() - len(cut_off))
        else:  # nothing was finished, so nothing is lost
            self._file.truncate(0)
            self._write(_HEADER | {"settings": dict(settings)})

    def _write(self, content: dict[str, Any]) -> None:
        line = json.dumps(content | {_CHECKSUM: _checksum(content)}).encode() + b"\n"
        with errors_name(self.path):
            while line:  # a disk that is nearly full takes a part
                line = line[self._file.write(line) :]

    def _parse(self, index: int, line: bytes) -> dict[str, Any]:
        try:
            content = json.loads(line)
            if content.pop(_CHECKSUM) == _checksum(content):
                return content
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            pass
        raise self._broken(index)

    def _check_header(self, header: dict[str, Any]) -> None:
        if {key: header.get(key) for key in _HEADER} != _HEADER:
            raise self._broken(0)

    def _to_entry(self, index: int, line: dict[str, Any]) -> JournalEntry:
        try:
            return JournalEntry(**line)
        except TypeError:
            raise self._broken(index) from None

    def _check_settings(self, stored: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            if stored.get(name) != value:
                raise InputError(
                    f"{self.path} was written with {name}={stored.get(name)}, but now "
                    f"{name}={value}: choose another output folder, or replace what it holds with "
                    "--overwrite"
                )

    def _broken(self, index: int) -> InputError:
        return InputError(
            f"{self.path} is damaged at line {index + 1}, or is no record of predictions: choose "
            "another output folder, or replace it with --overwrite"
        )


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def file_state(path: str | os.PathLike) -> tuple[int | None, int | None]:
    """Size in bytes and modification time in nanoseconds; None where the file is gone."""
    try:
        state = os.stat(path)
    except OSError:
        return None, None
    return state.st_size, state.st_mtime_ns
