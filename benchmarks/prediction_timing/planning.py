"""The cost of planning a run over a manifest of many rows, none of whose images exists."""

import time
from pathlib import Path
from typing import Any

from medmask.inference import WorkList
from medmask.inference.options import Shard
from medmask.inference.planning import make_plan
from medmask.inference.prediction_parts import PartsReader
from prediction_timing.memory import resident_mib


def time_plan(rows: int, folder: Path) -> dict[str, Any]:
    """Write a manifest of so many rows, and plan a run over it.

    Args:
        rows: of the manifest.
        folder: an empty folder to write it to.

    Returns:
        The seconds until the plan was there, and the memory that it took, in MiB.
    """
    manifest = folder / "manifest.csv"
    with open(manifest, "w") as file:
        file.write("path,image_id\n")
        for row in range(rows):
            file.write(f"archive/{row % 1000:03}/patient{row:08}/image{row:08}.dcm,{row}\n")
    before = resident_mib()
    start = time.perf_counter()
    plan = make_plan(WorkList([manifest]), PartsReader(folder), Shard())
    seconds = time.perf_counter() - start
    assert len(plan.left) == rows
    return {"rows": rows, "seconds": seconds, "mib": resident_mib() - before}
