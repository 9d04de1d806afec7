"""Processes must end without gloo's threads: a thread that outlives the interpreter aborts."""

import socket
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from detectron2.utils import comm

from medmask.engine import launch
from medmask.engine.launcher import _join_and_run
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
def test_processes_leave_their_group():
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done = subprocess.run([*torchrun, __file__], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


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


def test_zero_gpus_are_one_process(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    ran = []
    args = Namespace(num_gpus=0, num_machines=1, machine_rank=0, dist_url="auto")
    launch(ran.append, args)
    assert ran == [args]


@pytest.mark.parametrize("address", ["10.0.0.1:555", "tcp://127.0.0.1", "tcp://127.0.0.1:{taken}"])
def test_address_at_which_nobody_can_meet_is_refused(address):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = address.format(taken=other.getsockname()[1])
        args = Namespace(num_gpus=1, num_machines=1, machine_rank=0)
        with pytest.raises(InputError, match=f"cannot meet at {address} .*--dist-url"):
            _join_and_run(0, communicate, args, address)


if __name__ == "__main__":
    launch(communicate, Namespace(num_gpus=2))
    assert not gloo_threads()
