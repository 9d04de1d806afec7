"""Description of a run for trackers, and the id under which a resumed run goes on there."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.utils.json_files import read_json, write_json

TRACKED_RUN = "tracked_run.json"
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class TrackedRun:
    """Facts about a run that do not change while it trains."""

    id: str
    """16 hexadecimal digits"""
    output_dir: Path
    """``train.output_dir`` as it was given"""
    config: Mapping[str, Any]
    """plain values in groups"""
    versions: Mapping[str, str]
    """of packages, and the command"""


def describe_run(
    output_dir: Path, config: Mapping[str, Any], versions: Mapping[str, str], *, resume: bool
) -> TrackedRun:
    """Describe a run; the id is kept in its folder, where a resumed run finds it.

    Args:
        output_dir: folder of the run.
        config: plain values in groups.
        versions: of packages.
        resume: go on under the id that the folder holds, if it holds one.

    Raises:
        InputError: the file with the id holds something else.
    """
    path = output_dir / TRACKED_RUN
    if resume and path.exists():
        run_id = _read_id(path)
    else:
        run_id = uuid.uuid4().hex[:16]
        write_json(path, {"id": run_id})
    return TrackedRun(run_id, output_dir, config, versions)


def _read_id(path: Path) -> str:
    content = read_json(path, "file")
    run_id = content.get("id") if isinstance(content, dict) else None
    if not isinstance(run_id, str) or not _ID.fullmatch(run_id):
        raise InputError(
            f"{path} does not hold the id of a tracked run: remove it, and trackers see a new run"
        )
    return run_id
