#!/usr/bin/env python3
"""Time opening, reading and checking a store of expert embeddings, and measure its memory.

The store holds random embeddings of files that exist, in a folder that is removed afterwards. Times
are medians. The memory is what reading added to the process; "in the store" is what holding it all
would have added.
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
from options import make_parser, positive, write_figures
from tabulate import tabulate

from medmask.experts import (
    DEFAULT_PROMPTS,
    ExpertStore,
    ExpertView,
    ImageEmbeddings,
    StoreSettings,
    StoreWriter,
    sign_file,
)
from medmask.utils.command_line import command_line_tool

SHARD_SIZE = 256


_EXAMPLES = """\
  python benchmarks/expert_store.py --images 50000 --dim 768
"""


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--images", type=positive, default=10_000, metavar="N", help="in the store (default 10000)"
    )
    parser.add_argument(
        "--dim", type=positive, default=512, metavar="D", help="of the embeddings (default 512)"
    )
    return parser


def _make_images(folder: Path, count: int) -> list[dict[str, Any]]:
    """Dataset dicts of ``count`` small files, every other with one lesion."""
    folder.mkdir()
    dicts = []
    for i in range(count):
        path = folder / f"{i}.png"
        path.write_bytes(str(i).encode())
        annotation = {"bbox": [1, 2, 3, 4], "bbox_mode": BoxMode.XYWH_ABS}
        dicts.append({"file_name": str(path), "image_id": i, "annotations": [annotation] * (i % 2)})
    return dicts


def _write_store(folder: Path, dicts: Sequence[dict], dim: int) -> None:
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
    writer = StoreWriter(folder, settings, dicts, SHARD_SIZE)
    writer.prepare(random.normal(size=(len(DEFAULT_PROMPTS.texts), dim)))
    for number in writer.open_shards():
        entries = [
            ImageEmbeddings(
                sign_file(image["file_name"]),
                random.normal(size=dim),
                random.normal(size=(len(image["annotations"]), dim)),
                None,
                ExpertView((0, 0, 1, 1), (0, 0, 1, 1)),
            )
            for image in writer.shard_dicts(number)
        ]
        writer.write(number, entries)
    writer.finish()


def _measure(folder: Path, dicts: Sequence[dict]) -> tuple[float, float, float]:
    """Seconds to open, to read every image in random order, and to check every image."""
    order = np.random.default_rng(0).permutation(len(dicts))
    start = time.perf_counter()
    store = ExpertStore(folder)
    opened = time.perf_counter()
    for i in order:
        store[int(i)]
    read = time.perf_counter()
    store.check(dicts)
    return opened - start, read - opened, time.perf_counter() - read


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dicts = _make_images(Path(folder) / "images", options.images)
        store = Path(folder) / "store"
        _write_store(store, dicts, options.dim)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        runs = [_measure(store, dicts) for _ in range(options.repeats)]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    opened, read, checked = (1e3 * np.median(runs, axis=0)).tolist()
    figures = {
        "open, ms": opened,
        f"read {options.images} images in random order, ms": read,
        f"check {options.images} images, ms": checked,
        "memory added, MiB": grown / 2**10,
        "in the store, MiB": size / 2**20,
    }
    print(tabulate(figures.items(), ["", "median"], "github", floatfmt=".2f"))
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
