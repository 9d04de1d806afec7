"""Files of a folder of predictions: a part for each shard, and a mark for one that is finished."""

import re
from pathlib import Path

from medmask.inference.options import Shard

_NAMES = re.compile(r"predictions(-([0-9]+)-of-([0-9]+))?\.jsonl")


def part_files(folder: Path) -> list[Path]:
    """List the parts of a folder, in the order of their shards."""
    parts = [path for path in folder.glob("predictions*.jsonl") if _NAMES.fullmatch(path.name)]
    return sorted(parts, key=lambda path: (count_of(path), len(path.name), path.name))


def missing_shards(folder: Path) -> list[str]:
    """Sentences on the shards of a folder that have not begun or not come to their end."""
    counts = {count_of(path) for path in part_files(folder)}
    problems = []
    for count in sorted(counts):
        shards = [Shard(number, count) for number in range(1, count + 1)]
        open_shards = [x for x in shards if not mark_of(folder / x.file_name).exists()]
        if not open_shards:  # those of another count leave nothing to do then
            return []
        problems += [f"shard {x.number}/{count} in {folder} is not finished" for x in open_shards]
    return problems


def mark_of(part: Path) -> Path:
    """Name the file that tells that a part is finished."""
    return part.with_name(f"{part.stem}.finished")


def count_of(part: Path) -> int:
    """Tell how many shards there are, of which a part is one's."""
    match = _NAMES.fullmatch(part.name)
    return int(match[3] or 1) if match else 1
