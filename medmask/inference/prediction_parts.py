"""A record of predictions that grows by one line an image, so that a kill loses no finished image.

A folder of predictions holds one part for each shard, which one process at a time appends to. The
first line of a part tells what the predictions depend on; every other line is a
:class:`PredictionRecord`; each has a checksum. Lines are only ever appended: a process that is
killed can leave no more than a last line that is cut off, and that image is predicted on again. A
machine that crashes loses no more than the lines of the last seconds, which are then done again.

Of the lines, memory holds where they are; :class:`PartsReader` reads each again when it is needed.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from medmask.errors import InputError
from medmask.inference.part_files import Failure, part_files, read_left_out
from medmask.inference.prediction_record import DONE, PredictionRecord, parse_line

HEADER = {"format": "medmask predictions", "version": 2}
"""Beginning of the first line of a part."""

_HEADER_START = json.dumps(HEADER).encode()[:-1]
_RECORD = re.compile(
    rb'\{"key": "([0-9a-f]{24})", "status": "(done|failed|refused)", "position": ([0-9]+), '
)


class Place(NamedTuple):
    """Place of the last record of an image."""

    part: Path
    offset: int
    position: int
    is_done: bool


class PartsReader:
    """All parts of a folder.

    Attributes:
        places: of the last record of each image, a done one before any other, by the image's key;
            without images that failed and that the list has no more.
        settings: of each part with a finished image, by its file.
    """

    def __init__(self, folder: Path) -> None:
        """Index what the parts of a folder hold; a last line that is cut off counts for nothing.

        Raises:
            InputError: a part is damaged.
        """
        self.places: dict[str, Place] = {}
        self.settings: dict[Path, dict[str, Any]] = {}
        self._failures: dict[tuple[str, str], Failure] = {}
        self._left_out = read_left_out(folder)
        for path in part_files(folder):
            self._index(path)

    @property
    def failures(self) -> Iterable[Failure]:
        """The last of each image in each part, whatever has become of the images."""
        return self._failures.values()

    def is_done(self, key: str) -> bool:
        place = self.places.get(key)
        return place is not None and place.is_done

    def read(self, key: str) -> PredictionRecord:
        """Read the last record of an image that has one."""
        place = self.places[key]
        with open(place.part, "rb") as file:
            file.seek(place.offset)
            content = parse_line(file.readline().rstrip(b"\n"))
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
        self._failures = {x: y for x, y in self._failures.items() if x[1] != part.name}

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
        failed: dict[str, Place] = {}
        with open(path, "rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    start = line.rstrip(b"\0")  # which a crash of the machine may leave
                    if number == 0 and not start.startswith(_HEADER_START[: len(start)]):
                        raise _broken(path, 0)
                    break
                content = parse_line(line[:-1])
                if content is None:
                    raise _broken(path, number)
                if number == 0:
                    settings = _read_header(path, content)
                else:
                    has_finished |= self._index_record(path, number, content, offset, failed)
                offset += len(line)
        if has_finished:
            self.settings[path] = settings
        self._note_failed(path, failed)

    def _index_record(
        self, path: Path, number: int, content: bytes, offset: int, failed: dict[str, Place]
    ) -> bool:
        """Note where a record is, or add it to the failed ones; tell whether its image is done."""
        head = _RECORD.match(content)
        if head is None:
            raise _broken(path, number)
        key, is_done = head[1].decode(), head[2] == DONE.encode()
        place = Place(path, offset, int(head[3]), is_done)
        if is_done:
            failed.pop(key, None)
            self._note(key, place)
        else:
            failed[key] = place
            run = json.loads(content).get("run") or offset
            self._failures[key, path.name] = Failure(key, path.name, run)
        return is_done

    def _note_failed(self, path: Path, failed: Mapping[str, Place]) -> None:
        """Note images whose last record in a part is that of a failure, unless they are left out.

        Args:
            path: the part.
            failed: the places of the records, by the images' keys.
        """
        for key, place in failed.items():
            if self._failures[key, path.name] not in self._left_out:
                self._note(key, place)
            elif key in self.places and self.places[key].part == path:
                del self.places[key]


def _read_header(path: Path, content: bytes) -> dict[str, Any]:
    header = json.loads(content)
    settings = header.get("settings")
    if {key: header.get(key) for key in HEADER} != HEADER or not isinstance(settings, dict):
        raise _broken(path, 0)
    return settings


def _broken(path: Path, index: int) -> InputError:
    return InputError(
        f"{path} is damaged at line {index + 1}, or is no record of predictions: choose "
        "another output folder, or replace it with --overwrite"
    )
