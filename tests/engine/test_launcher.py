"""Processes must end without gloo's threads: a thread that outlives the interpreter aborts."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest
from detectron2.utils import comm

from medmask.engine import launch
from medmask.errors import InputError


def communicate(args: Namespace) -> None:
    """The work of one process: some collectives, which start gloo's threads."""
    comm.all_gather(comm.get_rank())
    comm.synchronize()
    assert gloo_threads()


def gloo_threads() -> list[str]:
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the threads in /proc")
def test_processes_leave_their_group(run_in_two_processes):
    run_in_two_processes(__file__)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_gpus": -1}, "--num-gpus is -1"),
        ({"num_machines": 0}, "--num-machines 0: the machines of a run, 1 or more"),
        ({"num_machines": 2, "machine_rank": 2}, "--machine-rank is 2 and --num-machines 2"),
        ({"num_machines": 2}, "needs --dist-url"),
    ],
    ids=["gpus", "machines", "rank", "address"],
)
def test_numbers_without_sense_are_refused(monkeypatch, changes, words):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    args = {"num_gpus": 1, "num_machines": 1, "machine_rank": 0, "dist_url": "auto"}
    with pytest.raises(InputError, match=words):
        launch(communicate, Namespace(**(args | changes)))


if __name__ == "__main__":
    launch(communicate, Namespace(num_gpus=2))
    assert not gloo_threads()
