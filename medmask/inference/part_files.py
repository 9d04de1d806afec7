"""Files of a folder of predictions: a part for each shard, and a mark for one that is finished."""

import re
from pathlib import Path

from medmask.errors import InputError
from medmask.inference.options import Shard
from medmask.utils.counts import counted
from medmask.utils.json_files import read_json, write_json

_NAMES = re.compile(r"predictions(-([0-9]+)-of-([0-9]+))?\.jsonl")


def part_files(folder: Path) -> list[Path]:
    """List the parts of a folder, in the order of their shards."""
    parts = [path for path in folder.glob("predictions*.jsonl") if _NAMES.fullmatch(path.name)]
    return sorted(parts, key=lambda path: (count_of(path), len(path.name), path.name))


def missing_shards(folder: Path, images: int) -> list[str]:
    """Write sentences on the shards of a folder that have not begun or not come to their end.

    A list of images may grow, and be divided anew: a shard that ended with a shorter list is not
    finished, and no other division matters once that of the longest list is.

    Args:
        folder: of predictions.
        images: how many its parts hold.
    """
    shards = [
        Shard(number, count)
        for count in sorted({count_of(path) for path in part_files(folder)})
        for number in range(1, count + 1)
    ]
    listed = {shard: _read_mark(folder / shard.file_name) for shard in shards}
    longest = max(listed.values(), default=0)
    if 0 < longest < images:
        return [
            f"{folder} holds predictions on {counted(images, 'image')}, but no shard has come to "
            f"the end of a list of more than {longest}: run all shards of the list of today"
        ]
    of_longest = {shard.count for shard in shards if longest and listed[shard] == longest}
    problems = []
    for count in sorted(of_longest or {shard.count for shard in shards}):
        missing = [x for x in shards if x.count == count and listed[x] < max(longest, 1)]
        if not missing:
            return []
        problems += [f"shard {x.number}/{count} in {folder} is not finished" for x in missing]
    return problems


def write_mark(part: Path, *, images: int, listed: int) -> None:
    """Tell beside a part that it is finished.

    Args:
        part: the file.
        images: of the shard.
        listed: of all shards.
    """
    write_json(mark_of(part), {"images": images, "listed": listed})


def mark_of(part: Path) -> Path:
    """Name the file that tells that a part is finished."""
    return part.with_name(f"{part.stem}.finished")


def _read_mark(part: Path) -> int:
    """Find how many images the list had that a part is finished for; 0 if it is for none."""
    try:
        content = read_json(mark_of(part), "file")
    except InputError:  # it is not there, or no mark of ours: the shard is soon run again
        return 0
    listed = content.get("listed") if isinstance(content, dict) else None
    return listed if isinstance(listed, int) else 0


def count_of(part: Path) -> int:
    """Tell how many shards there are, of which a part is one's."""
    match = _NAMES.fullmatch(part.name)
    return int(match[3] or 1) if match else 1
