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
    offset: int
    """of the last line in it that says so, in bytes"""


def part_files(folder: Path) -> list[Path]:
    """List the parts of a folder, in the order of their shards."""
    parts = [path for path in folder.glob("predictions*.jsonl") if _NAMES.fullmatch(path.name)]
    return sorted(parts, key=lambda path: (count_of(path), len(path.name), path.name))


def missing_shards(folder: Path, images: int) -> list[str]:
    """Write sentences on the shards of a folder that have not begun or not come to their end.

    A list of images may grow, lose images that are not done, and be divided anew. The list of
    today is that of the shard that was the last to end: a shard that ended with another one is not
    finished, and no other division matters once one of that list is.

    Args:
        folder: of predictions.
        images: how many its parts hold.
    """
    shards = [
        Shard(number, count)
        for count in sorted({count_of(path) for path in part_files(folder)})
        for number in range(1, count + 1)
    ]
    marks = {shard: _read_mark(folder / shard.file_name) for shard in shards}
    listed = {shard: _number(mark, "listed") for shard, mark in marks.items()}  # 0: has not ended
    longest = max(listed.values(), default=0)
    if 0 < longest < images:
        return [
            f"{folder} holds predictions on {counted(images, 'image')}, but no shard has come to "
            f"the end of a list of more than {longest}: run all shards of the list of today"
        ]
    # marks of versions that did not number them are those of the longest list
    last = max(shards, key=lambda x: (_number(marks[x], "sequence"), listed[x]), default=None)
    of_today = [x for x in shards if last and listed[last] and listed[x] == listed[last]]
    problems = []
    for count in sorted({shard.count for shard in of_today or shards}):
        missing = [x for x in shards if x.count == count and x not in of_today]
        if not missing:
            return []
        problems += [f"shard {x.number}/{count} in {folder} is not finished" for x in missing]
    return problems


def read_left_out(folder: Path) -> set[Failure]:
    """Find the failures of images that the list has no more."""
    told = [_read_mark(part).get("left_out") for part in part_files(folder)]
    lists = [each for each in told if isinstance(each, list)]
    return {Failure(*each) for each in chain.from_iterable(lists) if _is_failure(each)}


def write_mark(part: Path, *, images: int, listed: int, left_out: Iterable[Failure] = ()) -> None:
    """Tell beside a part that it is finished.

    Args:
        part: the file.
        images: of the shard.
        listed: of all shards.
        left_out: failures of images that the list has no more, which count for nothing.
    """
    others = (_read_mark(other) for other in part_files(part.parent))
    sequence = 1 + max((_number(mark, "sequence") for mark in others), default=0)
    content = {
        "images": images,
        "listed": listed,
        "left_out": sorted(left_out),
        "sequence": sequence,  # clocks of machines may differ
    }
    write_json(mark_of(part), content)


def mark_of(part: Path) -> Path:
    """Name the file that tells that a part is finished."""
    return part.with_name(f"{part.stem}.finished")


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
    return isinstance(told, list) and [type(each) for each in told] == [str, str, int]


def count_of(part: Path | str) -> int:
    """Tell how many shards there are, of which a part is one's."""
    match = _NAMES.fullmatch(Path(part).name)
    return int(match[3] or 1) if match else 1
