"""The outcome of each study: a file that grows by one line a study, so that a kill loses none."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from io import RawIOBase
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.utils.file_lock import lock_file
from medmask.utils.files import errors_name, write_all
from medmask.utils.json_files import parse_object

STUDIES = "studies.jsonl"

STORED, SCORED, REFUSED, FAILED = "stored", "scored", "refused", "failed"

_HEADER = {"format": "medmask pacs studies", "version": 1}


@dataclass(frozen=True)
class StudyRecord:
    """The outcome of one study.

    Attributes:
        study: Study Instance UID.
        status: ``stored`` in the archive and fetched again; ``scored``, with results in the output
            folder alone; ``refused`` if none of its images is of use, or the archive did not take
            its results time and again; ``failed`` if it is to be tried again.
        instances: SOP Instance UIDs of the images that were to be scored, without those that the
            next run tries again.
        done: how many of them were.
        objects: how many results there are.
        problems: a sentence for each image or object that something is wrong with.
        attempts: how many runs in a row have left images or results to be tried again; 0 if none
            are left.
    """

    study: str
    status: str
    instances: tuple[str, ...] = ()
    done: int = 0
    objects: int = 0
    problems: tuple[str, ...] = ()
    attempts: int = 0


class StudyRecords:
    """The file, opened by :func:`open_study_records`.

    Attributes:
        last: the last record of each study.
    """

    def __init__(self, path: Path, file: RawIOBase) -> None:
        self.path = path
        self.last: dict[str, StudyRecord] = {}
        self._file = file

    def start(self, settings: Mapping[str, Any]) -> None:
        """Read what is there; a last line that is cut off is dropped.

        Args:
            settings: all that the results depend on, as JSON values.

        Raises:
            InputError: the file is damaged, or was written with other settings.
        """
        self._file.seek(0)
        content = self._file.read() or b""
        lines = content.split(b"\n")[:-1]
        self._file.truncate(sum(len(line) + 1 for line in lines))
        if not lines:
            self._write(_HEADER | {"settings": dict(settings)})
            return
        self._check_header(lines[0], settings)
        known = {field.name for field in fields(StudyRecord)}
        for number, line in enumerate(lines[1:], start=2):
            values = {"attempts": 0} | (parse_object(line) or {})  # older records have none
            lists = [values.get("instances"), values.get("problems")]
            is_whole = values.keys() == known and isinstance(values["attempts"], int)
            if not is_whole or not all(isinstance(each, list) for each in lists):
                raise self._damaged(number)
            values |= {name: tuple(values[name]) for name in ("instances", "problems")}
            record = StudyRecord(**values)
            self.last[str(record.study)] = record

    def append(self, record: StudyRecord) -> None:
        self._write(asdict(record))
        self.last[record.study] = record

    def _write(self, content: Mapping[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        with errors_name(self.path):
            self._file.seek(0, os.SEEK_END)
            write_all(self._file, line)
            os.fsync(self._file.fileno())

    def _check_header(self, line: bytes, settings: Mapping[str, Any]) -> None:
        header = parse_object(line) or {}
        stored = header.pop("settings", None)
        if header != _HEADER or not isinstance(stored, dict):
            raise self._damaged(1)
        for name in dict.fromkeys((*settings, *stored)):
            value = settings.get(name)
            if stored.get(name) != value:
                raise InputError(
                    f"{self.path} was written with {name}={stored.get(name)}, but now "
                    f"{name}={value}: choose another output folder"
                )

    def _damaged(self, line: int) -> InputError:
        return InputError(
            f"{self.path} is damaged at line {line}, or is no record of studies: choose another "
            "output folder"
        )


@contextlib.contextmanager
def open_study_records(folder: Path) -> Iterator[StudyRecords]:
    """Open the records of an output folder, which only one process can at a time.

    Raises:
        InputError: another process has them open.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / STUDIES
    with open(path, "a+b", buffering=0) as file:
        lock_file(
            file,
            f"another process is writing {path}: wait for its end, or choose another output folder",
        )
        yield StudyRecords(path, file)
