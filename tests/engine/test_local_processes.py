"""Processes that are started together end together, with the first error of any of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, pathlib, signal, sys, time
from medmask.engine.local_processes import run_processes
from medmask.errors import InputError
from medmask.utils.command_line import command_line_tool

def work(rank, how, folder):
    (folder / f"{rank}.pid").write_text(str(os.getpid()))
    while len(list(folder.glob("*.pid"))) < 2:
        time.sleep(0.05)
    if rank == 1:
        if how == "input error":
            raise InputError("the image a.png is broken")
        if how == "bug":
            raise ZeroDivisionError
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
    if how in ("well", "bug"):
        return
    print("waiting", flush=True)
    time.sleep(1000)

@command_line_tool
def main():
    run_processes(work, 2, sys.argv[1], pathlib.Path(sys.argv[2]))

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def start(tmp_path):
    """Starts two processes; ends what is left of them."""
    (tmp_path / "program.py").write_text(PROGRAM)
    processes = []

    def start(how):
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "program.py"), how, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def alive(tmp_path):
    """Count the started processes that are still there."""
    count = 0
    for file in tmp_path.glob("*.pid"):
        stat = Path(f"/proc/{file.read_text()}/stat")
        count += stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return count


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("input error", 2, "error: the image a.png is broken\n"),
        pytest.param(
            "killed",
            2,
            "error: process 1 of the run was killed by SIGKILL (memory may have run out)\n",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_first_error_is_the_one_that_is_told(start, tmp_path, how, status, words):
    process = start(how)
    _, told = process.communicate(timeout=300)
    assert (process.returncode, told) == (status, words)
    assert not alive(tmp_path)


def test_fault_of_ours_keeps_its_traceback(start):
    process = start("bug")
    _, told = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "ZeroDivisionError" in told


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the processes in /proc")
def test_killed_parent_leaves_nobody(start, tmp_path):
    process = start("wait")
    process.stdout.readline()
    assert alive(tmp_path) == 2
    process.kill()
    deadline = time.monotonic() + 120
    while alive(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(tmp_path)


def test_signal_reaches_all(start, tmp_path):
    process = start("wait")
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=300)
    assert (process.returncode, told) == (143, "stopped by SIGTERM\n")
    assert not alive(tmp_path)
