"""Processes must end without gloo's threads: a thread that outlives the interpreter aborts."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest
from detectron2.utils import comm

from medmask.engine import launch


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


if __name__ == "__main__":
    launch(communicate, Namespace(num_gpus=2))
    assert not gloo_threads()
