"""A record of the images that are written, one line each, so that a killed conversion goes on.

The first line says what all images depend on: the set and the options that change images. Lines
are only ever appended. A line that is cut off, or whose raw file has changed since, or of which the
set now tells something else that matters to it, or whose image is gone, counts for nothing: that
image is written again.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from io import RawIOBase
from pathlib import Path
from typing import Any

from medmask.converters.image_files import ImageTask, WrittenImage
from medmask.converters.regions import Region
from medmask.errors import InputError
from medmask.utils.file_lock import lock_file
from medmask.utils.files import errors_name, write_all
from medmask.utils.json_files import parse_object

JOURNAL = "images.jsonl"


class ImageJournal:
    """The journal of an output folder; :func:`open_journal` opens one."""

    def __init__(self, folder: Path, file: RawIOBase, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._file = file
        self._lines: dict[str, dict[str, Any]] = {}
        self._read(settings)

    def find(self, task: ImageTask) -> WrittenImage | None:
        """Find an image that is written already; None if it is to be written."""
        line = self._lines.get(task.image.name)
        if line is None or line["source"] != fingerprint(task):
            return None
        written = _from_json(line["written"])
        path = task.folder / written.file_name
        return written if _size(path) == line["bytes"] else None

    def append(self, task: ImageTask, written: WrittenImage) -> None:
        """Add an image that is on the disk."""
        self._write(
            {
                "source": fingerprint(task),
                "bytes": _size(task.folder / written.file_name),
                "written": asdict(written),
            }
        )

    def _read(self, settings: Mapping[str, Any]) -> None:
        self._file.seek(0)
        *whole, cut_off = self._file.read().split(b"\n")
        if not whole:
            self._file.truncate(0)
            self._write(dict(settings))
            return
        found = parse_object(whole[0])
        if found != dict(settings):
            raise InputError(
                f"{self._folder / JOURNAL} is of a conversion with {_list(found)}, not "
                f"{_list(settings)}: choose another --output, or remove {self._folder}"
            )
        self._file.truncate(self._file.tell() - len(cut_off))
        for line in filter(None, map(parse_object, whole[1:])):
            with contextlib.suppress(LookupError, TypeError):
                self._lines[line["written"]["name"]] = line

    def _write(self, content: dict[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        with errors_name(self._folder / JOURNAL):
            write_all(self._file, line)


@contextlib.contextmanager
def open_journal(folder: Path, settings: Mapping[str, Any]) -> Iterator[ImageJournal]:
    """Open the journal of an output folder, which only one process can at a time.

    Args:
        folder: the output; it must be absent or empty where it has no journal.
        settings: what the images depend on, as JSON values.

    Raises:
        InputError: the folder holds something else, or a conversion with other settings, or
            another process is writing it.
    """
    path = folder / JOURNAL
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder} exists and holds no conversion: choose another --output, or empty it"
        )
    with open(path, "a+b", buffering=0) as file:  # a line is written at once, or fails at once
        lock_file(
            file,
            f"another process is converting to {folder}: wait for its end, or choose another "
            "--output",
        )
        yield ImageJournal(folder, file, settings)


def fingerprint(task: ImageTask) -> str:
    """A hash of all that a written image and what is told of it depend on, settings aside."""
    image = task.image
    lesions: list[Any] = []
    for lesion in image.lesions:
        outlines = [outline.tolist() for outline in lesion.outlines]
        mask = None if lesion.mask is None else _state(lesion.mask)
        lesions.append([outlines, lesion.box, mask, lesion.is_split])
    # readers of a set's own go by what its index says of an image, such as the digitizer
    attributes = {} if task.read_pixels is None else dict(image.attributes)
    content = [image.name, _state(image.path), lesions, image.pixel_spacing_mm, attributes]
    text = json.dumps(content, default=float)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _state(path: Path) -> Sequence[Any]:
    try:
        state = os.stat(path)
    except OSError:
        return [str(path), None, None]
    return [str(path), state.st_size, state.st_mtime_ns]


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _from_json(content: dict[str, Any]) -> WrittenImage:
    regions = tuple(
        tuple(
            Region(tuple(region["box"]), tuple(map(tuple, region["polygons"])))
            for region in of_lesion
        )
        for of_lesion in content["regions"]
    )
    return WrittenImage(**{**content, "regions": regions})


def _list(settings: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (settings or {"settings": None}).items())
