"""Files of a folder of predictions: a part for each shard, and a mark for one that is finished."""

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from medmask.errors import InputError
from medmask.inference.options import Shard
from medmask.utils.counts import counted
from medmask.utils.json_files import read_json, write_json

_NAMES = re.compile(r"predictions(-([0-9]+)-of-([0-9]+))?\.jsonl")


class Failure(NamedTuple):
    """An image that is not done by a part."""

    key: str
    """of the image"""
    part: str
    """name of the file"""
    run: str | int
    """that wrote the last line which says so: its name, or the place of the line, in bytes, where
    an earlier version of MedMask wrote it, which named no runs"""


def part_files(folder: Path) -> list[Path]:
    """List the parts of a folder, in the order of their shards."""
    parts = [path for path in folder.glob("predictions*.jsonl") if _NAMES.fullmatch(path.name)]
    return sorted(parts, key=lambda path: (count_of(path), len(path.name), path.name))


def missing_shards(folder: Path, images: int) -> list[str]:
    """Write sentences on the shards of a folder that have not begun or not come to their end.

    A list of images may grow, lose images that are not done, and be divided anew. A shard that
    ended with another list than that of today is not finished, and no other division matters once
    one of that list is.

    Args:
        folder: of predictions.
        images: how many its parts hold.
    """
    marks = _marks_of_today(folder)
    listed = max((_number(mark, "listed") for mark in marks.values()), default=0)
    if 0 < listed < images:
        return [
            f"{folder} holds predictions on {counted(images, 'image')}, but the list that a shard "
            f"was the last to come to the end of has {listed}: run all shards of the list of today"
        ]
    finished = set(marks)
    problems = []
    for count in sorted({count_of(part) for part in finished or part_files(folder)}):
        shards = [Shard(number, count) for number in range(1, count + 1)]
        missing = [shard for shard in shards if folder / shard.file_name not in finished]
        if not missing:
            return []
        problems += [f"shard {x.number}/{count} in {folder} is not finished" for x in missing]
    return problems


def read_left_out(folder: Path) -> set[Failure]:
    """Find the failures of images that the list of today has no more."""
    told = [mark.get("left_out") for mark in _marks_of_today(folder).values()]
    lists = [each for each in told if isinstance(each, list)]
    return {Failure(*each) for each in chain.from_iterable(lists) if _is_failure(each)}


def write_mark(
    part: Path,
    *,
    images: int,
    listed: int,
    list_digest: str,
    left_out: Iterable[Failure] = (),
) -> None:
    """Tell beside a part that it is finished.

    Args:
        part: the file.
        images: of the shard.
        listed: of all shards.
        list_digest: which tells their list from others, also from those of as many images.
        left_out: failures of images that the list has no more, which count for nothing.
    """
    marks = _read_marks(part.parent).values()
    sequence = 1 + max((_number(mark, "sequence") for mark in marks), default=0)
    content = {
        "images": images,
        "listed": listed,
        "list": list_digest,
        "left_out": sorted(left_out),
        "sequence": sequence,  # clocks of machines may differ
    }
    write_json(mark_of(part), content)


def mark_of(part: Path) -> Path:
    """Name the file that tells that a part is finished."""
    return part.with_name(f"{part.stem}.finished")


def _marks_of_today(folder: Path) -> dict[Path, dict[str, Any]]:
    """Marks of the list of today, which is that of the shard that was the last to end."""
    marks = _read_marks(folder)
    # marks of versions that did not number them are those of the longest list
    last = max(
        marks.values(), key=lambda x: (_number(x, "sequence"), _number(x, "listed")), default={}
    )
    return {part: mark for part, mark in marks.items() if _is_of_one_list(mark, last)}


def _is_of_one_list(mark: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two shards had one list; of marks without a digest, by its length."""
    names = ("listed", "list") if "list" in mark and "list" in other else ("listed",)
    return all(mark.get(name) == other.get(name) for name in names)


def _read_marks(folder: Path) -> dict[Path, dict[str, Any]]:
    """Marks of the parts that are finished."""
    marks = {part: _read_mark(part) for part in part_files(folder)}
    return {part: mark for part, mark in marks.items() if _number(mark, "listed")}


def _number(mark: Mapping[str, Any], name: str) -> int:
    """Take a number from what a mark tells; 0 where it does not."""
    number = mark.get(name)
    return number if isinstance(number, int) else 0


def _read_mark(part: Path) -> dict[str, Any]:
    try:
        content = read_json(mark_of(part), "file")
    except InputError:  # it is not there, or no mark of ours: the shard is soon run again
        return {}
    return content if isinstance(content, dict) else {}


def _is_failure(told: Any) -> bool:
    types = [type(each) for each in told] if isinstance(told, list) else []
    return types in ([str, str, str], [str, str, int])


def count_of(part: Path | str) -> int:
    """Tell how many shards there are, of which a part is one's."""
    match = _NAMES.fullmatch(Path(part).name)
    return int(match[3] or 1) if match else 1
