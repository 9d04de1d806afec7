"""One folder of predictions, killed and restarted until it is whole, and what it lost."""

import csv
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prediction_kills.inputs import Inputs
from prediction_kills.process_tree import ProcessTree

FAULTS = (
    "lost",
    "doubled",
    "predicted on twice",
    "results that differ",
    "finished lines lost",
    "abandoned files",
)


class _Running(NamedTuple):
    """A shard, and when to kill it."""

    tree: ProcessTree
    images: int | None
    """after so many are finished; None for any moment"""
    seconds: float
    """after that, or after the start"""


class KilledRun:
    """One folder of predictions, from the first start to its results."""

    def __init__(
        self, inputs: Inputs, output: Path, draw: random.Random, shards: int, workers: int
    ) -> None:
        """Plan it.

        Args:
            inputs: of all its starts.
            output: an empty or missing folder.
            draw: of the moments.
            shards: that run at a time.
            workers: that read ahead in each of them.
        """
        self.inputs, self.output, self.draw, self.workers = inputs, output, draw, workers
        self.shards = range(1, shards + 1)
        self.counts: Counter[str] = Counter()
        self._lines: dict[int, list[bytes]] = {shard: [] for shard in self.shards}

    def kill_shards(self, kills: int, usual_seconds: float) -> None:
        """Start shards and kill them, until so many kills were made or all shards are done.

        Args:
            kills: how many.
            usual_seconds: of a run that nothing stops.
        """
        running: dict[int, _Running] = {}
        left = set(self.shards)
        while running or (left and self.counts["kills"] < kills):
            for shard in sorted(left - running.keys()):
                if self.counts["kills"] + len(running) < kills:
                    running[shard] = self._start(shard, usual_seconds)
            for shard, each in list(running.items()):
                if each.tree.status is not None:
                    each.tree.check()
                    left.discard(shard)
                    del running[shard]
                elif self._is_due(shard, each):
                    self._kill(shard, each.tree)
                    del running[shard]
            time.sleep(0.002)

    def finish(self) -> None:
        """Run all shards to their end, and merge, which is killed once, too."""
        for shard in self.shards:
            self._run(self._arguments(shard)).wait()
            self._check_kept(shard)
        merge = ["--merge", "--formats", "json", "csv", "--output", str(self.output)]
        whole = self._run(merge)
        whole.wait()
        seconds = time.monotonic() - whole.start
        killed = self._run(merge)
        time.sleep(self.draw.uniform(0, seconds))
        if killed.status is None:
            killed.kill()
            self.counts["kills of the merge"] += 1
        self._run(merge).wait()

    def check(self, expected: bytes) -> None:
        """Compare the results with those of a run that nothing stopped."""
        with (self.output / "images.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        named = Counter(row["file_name"] for row in rows)
        done = {row["file_name"] for row in rows if row["status"] == "done"}
        keys = Counter(
            json.loads(line)["key"] for shard in self.shards for line in self._read(shard)[1:]
        )
        self.counts["images"] += len(self.inputs.names)
        self.counts["lost"] += len(set(self.inputs.names) - done)
        self.counts["doubled"] += sum(named.values()) - len(named)
        self.counts["predicted on twice"] += sum(keys.values()) - len(keys)
        found = (self.output / "detections.json").read_bytes()
        self.counts["results that differ"] += found != expected
        self.counts["abandoned files"] += len(list(self.output.rglob(".*.part")))

    def _part(self, shard: int) -> Path:
        return self.output / f"predictions-{shard}-of-{len(self.shards)}.jsonl"

    def _read(self, shard: int) -> list[bytes]:
        """The whole lines of a shard's part: the first, and one for each finished image."""
        part = self._part(shard)
        return part.read_bytes().split(b"\n")[:-1] if part.exists() else []

    def _arguments(self, shard: int) -> list[str]:
        options = ("--shard", f"{shard}/{len(self.shards)}", "--workers", self.workers)
        return self.inputs.arguments(self.output, *options)

    def _run(self, arguments: Sequence[str]) -> ProcessTree:
        return ProcessTree(arguments, self.output.with_suffix(".log"))

    def _start(self, shard: int, usual_seconds: float) -> _Running:
        tree = self._run(self._arguments(shard))
        if self.draw.random() < 0.4:
            return _Running(tree, None, self.draw.uniform(0, usual_seconds))
        finished = max(len(self._read(shard)) - 1, 0)
        return _Running(tree, finished + self.draw.randrange(1, 4), self.draw.uniform(0, 0.1))

    def _is_due(self, shard: int, each: _Running) -> bool:
        if each.images is None:
            return time.monotonic() - each.tree.start >= each.seconds
        if len(self._read(shard)) <= each.images:
            return False
        time.sleep(each.seconds)
        return True

    def _kill(self, shard: int, tree: ProcessTree) -> None:
        finished = len(self._lines[shard])
        self.counts["processes killed"] += tree.kill()
        self.counts["kills"] += 1
        self._check_kept(shard)
        grown = len(self._lines[shard]) - max(finished, 1)
        self.counts["kills before an image was finished"] += grown <= 0
        self.counts["unfinished files seen"] += len(list(self.output.rglob(".*.part")))
        part = self._part(shard)
        whole = not part.exists() or part.read_bytes()[-1:] in (b"", b"\n")
        self.counts["last lines cut off"] += not whole

    def _check_kept(self, shard: int) -> None:
        """Lines that were whole at the kill before are there still."""
        before = self._lines[shard]
        self._lines[shard] = self._read(shard)
        self.counts["finished lines lost"] += self._lines[shard][: len(before)] != before
