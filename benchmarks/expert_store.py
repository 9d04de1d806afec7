#!/usr/bin/env python3
"""What it costs to open a store of expert embeddings, to read it, and to check it.

The store holds random embeddings of files that exist, in a folder that is removed afterwards. The
memory is what reading added to the process; "in the store" is what holding it all would have added.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from medmask.errors import command_line_tool
from medmask.experts import (
    DEFAULT_PROMPTS,
    ExpertStore,
    ImageEmbeddings,
    StoreSettings,
    StoreWriter,
    sign_file,
)

SHARD_SIZE = 256


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, metavar="N", help="in the store")
    parser.add_argument("--dim", type=int, default=512, metavar="D", help="of the embeddings")
    parser.add_argument("--repeats", type=int, default=5, metavar="R", help="the median is shown")
    return parser


def _make_records(folder: Path, count: int) -> list[dict[str, Any]]:
    """Records of ``count`` small files, every other with one lesion."""
    folder.mkdir()
    records = []
    for i in range(count):
        path = folder / f"{i}.png"
        path.write_bytes(str(i).encode())
        annotation = {"bbox": [1, 2, 3, 4], "bbox_mode": BoxMode.XYWH_ABS}
        records.append(
            {"file_name": str(path), "image_id": i, "annotations": [annotation] * (i % 2)}
        )
    return records


def _write_store(folder: Path, records: Sequence[dict], dim: int) -> None:
    settings = StoreSettings(
        model="none",
        weights_sha256="0",
        logit_scale=100.0,
        embedding_dim=dim,
        patch_grid=None,
        preprocessing={},
        prompts=DEFAULT_PROMPTS,
    )
    random = np.random.default_rng(0)
    writer = StoreWriter(folder, settings, records, SHARD_SIZE)
    writer.prepare(random.normal(size=(len(DEFAULT_PROMPTS.texts), dim)))
    for number in writer.open_shards():
        entries = [
            ImageEmbeddings(
                sign_file(record["file_name"]),
                random.normal(size=dim),
                random.normal(size=(len(record["annotations"]), dim)),
                None,
            )
            for record in writer.shard_dicts(number)
        ]
        writer.write(number, entries)
    writer.finish()


def _measure(folder: Path, records: Sequence[dict]) -> tuple[float, float, float]:
    """Seconds to open, to read every image in random order, and to check every image."""
    order = np.random.default_rng(0).permutation(len(records))
    start = time.perf_counter()
    store = ExpertStore(folder)
    opened = time.perf_counter()
    for i in order:
        store[int(i)]
    read = time.perf_counter()
    store.check(records)
    return opened - start, read - opened, time.perf_counter() - read


@command_line_tool
def main() -> None:
    args = _parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        records = _make_records(Path(folder) / "images", args.images)
        store = Path(folder) / "store"
        _write_store(store, records, args.dim)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        runs = [_measure(store, records) for _ in range(args.repeats)]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    opened, read, checked = np.median(runs, axis=0)
    print(f"open {1e3 * opened:.2f} ms")
    print(f"read {args.images} images in random order {1e3 * read:.0f} ms")
    print(f"check {args.images} images {1e3 * checked:.0f} ms")
    print(f"memory {grown / 2**10:.0f} MiB more; {size / 2**20:.0f} MiB in the store")


if __name__ == "__main__":
    main()
