"""A record of predictions that grows by one line an image, so that a kill loses no finished image.

A folder of predictions holds one part for each shard, which one process at a time appends to. The
first line of a part tells what the predictions depend on; every other line is a
:class:`PredictionRecord`; each has a checksum. Lines are only ever appended: a process that is
killed can leave no more than a last line that is cut off, and that image is predicted on again. A
machine that crashes loses no more than the lines of the last seconds, which are then done again.

Of the lines, memory holds where they are; :class:`PartsReader` reads each again when it is needed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, NamedTuple

from medmask.errors import InputError
from medmask.inference.options import Shard
from medmask.utils.files import errors_name, sync_folder
from medmask.utils.json_files import write_json

DONE = "done"

_SYNC_SECONDS = 5.0
"""Most that a crash of the machine may cost; on each line a disk would spend milliseconds."""

_HEADER = {"format": "medmask predictions", "version": 2}
_HEADER_START = json.dumps(_HEADER).encode()[:-1]
_LINE = re.compile(rb'(\{.*), "sha256": "([0-9a-f]{16})"\}', re.DOTALL)
_RECORD = re.compile(
    rb'\{"key": "([0-9a-f]{24})", "status": "(done|failed|refused)", "position": ([0-9]+), '
)
_NAMES = re.compile(r"predictions(-([0-9]+)-of-([0-9]+))?\.jsonl")


@dataclass(frozen=True)
class PredictionRecord:
    """Outcome of one image.

    Attributes:
        key: of the image, :attr:`PredictionImage.key`.
        status: ``done``, ``failed``, or ``refused`` where the file is not one that can be read.
        position: of the image in the list of all images, counted from 0.
        path: the file, absolute.
        file_name: what the detections call it.
        frame: of a file of several frames, counted from 0.
        image_id: of its data set.
        bytes: size of the file when it was read; None where it was not looked at.
        modified: its modification time then, in nanoseconds.
        height: of the image as it is stored, in pixels; None unless it is done.
        width: likewise.
        error: a sentence, unless it is done.
        overlay: name of its picture, if one was drawn.
        probability: that it has a lesion, if scores were calibrated.
        detections: ``{"class", "bbox", "score"}`` each: index of the class among the part's
            ``category_names``, [x, y, width, height] in pixels of the stored image, and a score in
            [0, 1], by descending score; and ``probability``, if scores were calibrated.
    """

    key: str
    status: str
    position: int
    path: str
    file_name: str
    frame: int | None
    image_id: int | str | None
    bytes: int | None
    modified: int | None
    height: int | None = None
    width: int | None = None
    error: str | None = None
    overlay: str | None = None
    probability: float | None = None
    detections: tuple[dict[str, Any], ...] = ()


class Place(NamedTuple):
    """Place of the last record of an image."""

    part: Path
    offset: int
    position: int
    is_done: bool


class PartsReader:
    """All parts of a folder.

    Attributes:
        places: of the last record of each image, a done one before any other, by the image's key.
        settings: of each part with a finished image, by its file.
    """

    def __init__(self, folder: Path) -> None:
        """Index what the parts of a folder hold; a last line that is cut off counts for nothing.

        Raises:
            InputError: a part is damaged.
        """
        self.places: dict[str, Place] = {}
        self.settings: dict[Path, dict[str, Any]] = {}
        for path in part_files(folder):
            self._index(path)

    def is_done(self, key: str) -> bool:
        place = self.places.get(key)
        return place is not None and place.is_done

    def read(self, key: str) -> PredictionRecord:
        """Read the last record of an image that has one."""
        place = self.places[key]
        with open(place.part, "rb") as file:
            file.seek(place.offset)
            content = _parse(file.readline().rstrip(b"\n"))
        try:
            return PredictionRecord(**json.loads(content or b""))
        except (ValueError, TypeError):
            raise InputError(f"{place.part} has changed while it was read; run it again") from None

    def note(self, record: PredictionRecord, part: Path, offset: int) -> None:
        """Remember where a record was appended."""
        self._note(record.key, Place(part, offset, record.position, record.status == DONE))

    def forget(self, part: Path) -> None:
        """Forget the records of a part that is written afresh."""
        self.places = {key: place for key, place in self.places.items() if place.part != part}

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Compare with the settings of the parts that hold finished images.

        Raises:
            InputError: predictions were made with other settings.
        """
        for path, stored in self.settings.items():
            for name in dict.fromkeys((*settings, *stored)):
                value = settings.get(name)
                if stored.get(name) != value:
                    raise InputError(
                        f"{path} was written with {name}={stored.get(name)}, but now "
                        f"{name}={value}: choose another output folder, or replace what it holds "
                        "with --overwrite"
                    )

    def _note(self, key: str, place: Place) -> None:
        before = self.places.get(key)
        # a failure does not replace a success in another part
        if place.is_done or before is None or not before.is_done or before.part == place.part:
            self.places[key] = place

    def _index(self, path: Path) -> None:
        offset = 0
        settings: dict[str, Any] = {}
        has_finished = False
        with open(path, "rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    start = line.rstrip(b"\0")  # which a crash of the machine may leave
                    if number == 0 and not start.startswith(_HEADER_START[: len(start)]):
                        raise _broken(path, 0)
                    break
                content = _parse(line[:-1])
                if content is None:
                    raise _broken(path, number)
                if number == 0:
                    settings = _read_header(path, content)
                else:
                    has_finished |= self._index_record(path, number, content, offset)
                offset += len(line)
        if has_finished:
            self.settings[path] = settings

    def _index_record(self, path: Path, number: int, content: bytes, offset: int) -> bool:
        """Note where a record is, and tell whether its image is done."""
        head = _RECORD.match(content)
        if head is None:
            raise _broken(path, number)
        is_done = head[2] == DONE.encode()
        self._note(head[1].decode(), Place(path, offset, int(head[3]), is_done))
        return is_done


class PartWriter:
    """The part of a shard, opened by :func:`open_part`.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, file: RawIOBase) -> None:
        self.path = path
        self._file = file
        self._synced = time.monotonic()

    def start(self, settings: Mapping[str, Any], *, go_on: bool) -> None:
        """Drop a last line that is cut off, or all that is there, and write the first line.

        Args:
            settings: what the predictions depend on, as JSON values.
            go_on: whether to keep what is there.
        """
        _mark_of(self.path).unlink(missing_ok=True)
        self._file.seek(0)
        size, whole = 0, 0
        while block := self._file.read(2**20):
            end = block.rfind(b"\n") + 1
            whole = size + end if end else whole
            size += len(block)
        self._file.truncate(whole if go_on else 0)
        if not go_on or not whole:
            self._write(_HEADER | {"settings": dict(settings)})
        self._sync()
        sync_folder(self.path.parent)

    def append(self, record: PredictionRecord) -> int:
        """Append a record; returns its place in the file, in bytes."""
        offset = self._write(asdict(record))
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            self._sync()
        return offset

    def finish(self, images: int) -> None:
        """Say that all images of the shard have come to their end.

        Args:
            images: how many it has.
        """
        self._sync()  # the mark must not outlive what it speaks of
        write_json(_mark_of(self.path), {"images": images})

    def _sync(self) -> None:
        """Have all lines outlive a crash of the machine."""
        with errors_name(self.path):
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def _write(self, content: Mapping[str, Any]) -> int:
        body = json.dumps(content)
        line = f'{body[:-1]}, "sha256": "{_checksum(body.encode())}"}}\n'.encode()
        offset = self._file.seek(0, os.SEEK_END)
        with errors_name(self.path):
            while line:  # a disk that is nearly full takes a part
                line = line[self._file.write(line) :]
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
        _lock(file, path, fcntl.LOCK_EX)
        for other in part_files(folder):
            if _count_of(other) != shard.count:
                with open(other, "rb", buffering=0) as foreign:
                    _lock(foreign, other, fcntl.LOCK_SH)
        yield PartWriter(path, file)


def _lock(file: RawIOBase, path: Path, kind: int) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"another process is writing {path}: wait for its end, or choose another output folder"
        ) from None
    except OSError:
        pass  # a network file system without locks


def part_files(folder: Path) -> list[Path]:
    """List the parts of a folder, in the order of their shards."""
    parts = [path for path in folder.glob("predictions*.jsonl") if _NAMES.fullmatch(path.name)]
    return sorted(parts, key=lambda path: (_count_of(path), len(path.name), path.name))


def missing_shards(folder: Path) -> list[str]:
    """Sentences on the shards of a folder that have not begun or not come to their end."""
    counts = {_count_of(path) for path in part_files(folder)}
    problems = []
    for count in sorted(counts):
        shards = [Shard(number, count) for number in range(1, count + 1)]
        open_shards = [x for x in shards if not _mark_of(folder / x.file_name).exists()]
        if not open_shards:  # those of another count leave nothing to do then
            return []
        problems += [f"shard {x.number}/{count} in {folder} is not finished" for x in open_shards]
    return problems


def _mark_of(part: Path) -> Path:
    """The file that tells that a part is finished."""
    return part.with_name(f"{part.stem}.finished")


def _count_of(part: Path) -> int:
    match = _NAMES.fullmatch(part.name)
    return int(match[3] or 1) if match else 1


def _parse(line: bytes) -> bytes | None:
    """The content of a line, as JSON; None if its checksum is wrong."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    body = match[1] + b"}"
    return body if _checksum(body) == match[2].decode() else None


def _read_header(path: Path, content: bytes) -> dict[str, Any]:
    header = json.loads(content)
    settings = header.get("settings")
    if {key: header.get(key) for key in _HEADER} != _HEADER or not isinstance(settings, dict):
        raise _broken(path, 0)
    return settings


def _broken(path: Path, index: int) -> InputError:
    return InputError(
        f"{path} is damaged at line {index + 1}, or is no record of predictions: choose "
        "another output folder, or replace it with --overwrite"
    )


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def file_state(path: str | os.PathLike) -> tuple[int | None, int | None]:
    """Size in bytes and modification time in nanoseconds; None where the file is gone."""
    try:
        state = os.stat(path)
    except OSError:
        return None, None
    return state.st_size, state.st_mtime_ns
