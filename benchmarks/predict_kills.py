"""Kill `medmask predict` at random moments, restart it, merge, and count what is lost or doubled.

Several shards of a manifest are predicted on at a time, each with workers that read ahead. Whole
trees of processes are killed by SIGKILL: at any moment from the start on, or just after some images
were finished; and so is the merge. Then all shards run to their end, and are merged. Exit status 1
if an image is lost, doubled, predicted on again although it was finished, or has other detections
than in a run that nothing stopped.
"""

import argparse
import csv
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from detectron2.config import instantiate
from options import positive, write_figures

from medmask.commands.main import main as command_line
from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.errors import InputError
from medmask.inference import predictor  # noqa: F401  for the processes that are forked
from medmask.phantom import PhantomParameters, make_phantom_dataset
from medmask.utils.command_line import command_line_tool

_EXAMPLES = """
examples:
  python benchmarks/predict_kills.py
  python benchmarks/predict_kills.py --kills 200 --shards 4 --workers 2 --json kills.json
"""
_KILLS_OF_A_PASS = 12  # after so many all shards run to their end, and another pass begins
_FAULTS = (
    "lost",
    "doubled",
    "predicted on twice",
    "results that differ",
    "finished lines lost",
    "abandoned files",
)
_SMALL = (
    "train.device=cpu",
    "model.transformer.num_encoder_layers=1",
    "model.transformer.num_decoder_layers=1",
    "dataloader.test.mapper.augmentation.short_edge_length=64",
)


@dataclass(frozen=True)
class Inputs:
    """Arguments that all runs of predict get.

    Attributes:
        manifest: of the images.
        checkpoint: fresh weights, their config beside them.
        names: of the images.
    """

    manifest: Path
    checkpoint: Path
    names: tuple[str, ...]

    def arguments(self, output: Path, *options: object) -> list[str]:
        """Of `medmask predict`."""
        given = ("--checkpoint", self.checkpoint, "--device", "cpu", "--output", output)
        return list(map(str, (self.manifest, *given, *options)))


def make_inputs(folder: Path, count: int, seed: int) -> Inputs:
    """Write phantom mammograms, a manifest of them, and a small detector."""
    make_phantom_dataset(
        folder / "phantom",
        PhantomParameters(width=48, height=64),
        split_sizes={"val": count},
        domains=["film"],
    )
    images = sorted((folder / "phantom").glob("film/images/val/*.png"))
    with (folder / "archive.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path"], *([str(path)] for path in images)])
    config = load_config("configs/medmask/phantom/source_only.py", _SMALL)
    torch.manual_seed(seed)
    checkpoint = folder / "model_best.pth"
    torch.save({"model": instantiate(config.model).state_dict()}, checkpoint)
    write_config_yaml(config, folder / "config.yaml")
    return Inputs(folder / "archive.csv", checkpoint, tuple(map(str, images)))


class Tree:
    """`medmask predict` with all processes that it starts, as a group of its own.

    It is forked from this process, which has imported everything: a start costs no seconds, and
    kills meet it at its work.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        """Start it.

        Args:
            arguments: of the command.
            log: what it prints is appended there.
        """
        self.start, self._log = time.monotonic(), log
        self._status: int | None = None
        self._process = os.fork()
        if self._process == 0:
            _become_command(arguments, log)

    @property
    def status(self) -> int | None:
        """None as long as it runs."""
        if self._status is None:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self) -> None:
        """Wait for an end that has to be good."""
        while self.status is None:
            time.sleep(0.01)
        self.check()

    def check(self) -> None:
        """Refuse another end than a good one."""
        if self.status != 0:
            raise InputError(f"predict ended with {self.status}: {self._log.read_text()[-2000:]}")

    def kill(self) -> int:
        """Kill all processes at once; returns how many there were."""
        count = len(_processes_of_group(self._process))
        if count:  # before, it has not yet a group of its own
            os.killpg(self._process, signal.SIGKILL)
        else:
            os.kill(self._process, signal.SIGKILL)
        self._status = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        while _processes_of_group(self._process):  # none may go on writing
            time.sleep(0.001)
        return max(count, 1)


def _become_command(arguments: Sequence[str], log: Path) -> NoReturn:
    """Go on as the command, in a process that was just forked."""
    os.setsid()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    status = 1
    try:
        command_line(["predict", *arguments])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _processes_of_group(group: int) -> list[str]:
    """Process ids of a group, without those that have ended and wait for their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(path.parent.name)
    return found


class _Running(NamedTuple):
    """A shard, and when to kill it."""

    tree: Tree
    images: int | None
    """after so many are finished; None for any moment"""
    seconds: float
    """after that, or after the start"""


class Pass:
    """One folder of predictions, from the first start to its results."""

    def __init__(
        self, inputs: Inputs, output: Path, draw: random.Random, options: argparse.Namespace
    ) -> None:
        self.inputs, self.output, self.draw, self.options = inputs, output, draw, options
        self.shards = range(1, options.shards + 1)
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
        return self.output / f"predictions-{shard}-of-{self.options.shards}.jsonl"

    def _read(self, shard: int) -> list[bytes]:
        """The whole lines of a shard's part: the first, and one for each finished image."""
        part = self._part(shard)
        return part.read_bytes().split(b"\n")[:-1] if part.exists() else []

    def _arguments(self, shard: int) -> list[str]:
        options = ("--shard", f"{shard}/{self.options.shards}", "--workers", self.options.workers)
        return self.inputs.arguments(self.output, *options)

    def _run(self, arguments: Sequence[str]) -> Tree:
        return Tree(arguments, self.output.with_suffix(".log"))

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

    def _kill(self, shard: int, tree: Tree) -> None:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, default, text in (
        ("--kills", 20, "how many, of shards"),
        ("--shards", 2, "that run at a time"),
        ("--workers", 1, "of each shard"),
        ("--images", 60, "of the manifest"),
    ):
        told = f"{text} (default {default})"
        parser.add_argument(name, type=positive, default=default, metavar="N", help=told)
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the counts to OUT too")
    return parser


@command_line_tool
def main() -> int:
    options = _parser().parse_args()
    torch.set_num_threads(1)
    draw = random.Random(options.seed)
    totals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = make_inputs(folder, options.images, options.seed)
        whole = Tree(inputs.arguments(folder / "whole", "--workers", 0), folder / "whole.log")
        whole.wait()
        usual_seconds = time.monotonic() - whole.start
        expected = (folder / "whole" / "detections.json").read_bytes()
        while totals["kills"] < options.kills:
            each = Pass(inputs, folder / f"pass{totals['passes']}", draw, options)
            kills = min(_KILLS_OF_A_PASS, options.kills - totals["kills"])
            each.kill_shards(kills, usual_seconds)
            each.finish()
            each.check(expected)
            totals.update(each.counts)
            totals["passes"] += 1
            print(f"{totals['kills']} of {options.kills} kills", file=sys.stderr)
    counts = {key: totals[key] for key in (*(k for k in totals if k not in _FAULTS), *_FAULTS)}
    for key, count in counts.items():
        print(f"{key:40} {count:5}")
    write_figures(options.json, counts)
    return int(any(totals[key] for key in _FAULTS))


if __name__ == "__main__":
    main()
