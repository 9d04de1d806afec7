"""Tools that run others: signals are passed on, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import medmask.utils.parent_process
from medmask.utils.child_tools import ChildTools
from medmask.utils.signals import StoppedBySignal

CHILD = """
import pathlib, runpy, signal, sys, time

def save(number, frame):
    pathlib.Path("saving").write_text(str(number))
    pathlib.Path("saving").rename("saved")
    sys.exit(128 + number)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, save)
runpy.run_path(sys.argv[1])["end_with_calling_tool"]()
pathlib.Path("ready").write_text("")
time.sleep(600)
"""

PARENT = """
import os, subprocess, sys, time

variable = {"MEDMASK_PARENT_PROCESS": str(os.getpid())}
subprocess.Popen([sys.executable, *sys.argv[1:]], env=os.environ | variable)
time.sleep(600)
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """The command of a tool that saves when it is asked to stop."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "child.py").write_text(CHILD)
    return ["child.py", medmask.utils.parent_process.__file__]


def wait_for(file):
    deadline = time.monotonic() + 120
    while not Path(file).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return Path(file).read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_passed_on_and_the_child_ends_first(child, number):
    def interrupt():
        wait_for("ready")
        os.kill(os.getpid(), number)

    children = ChildTools()

    def run():
        with children.passing_signals_on():
            children.run(child)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(StoppedBySignal) as stopped:
        run()
    thread.join()
    assert stopped.value.number == number
    assert Path("saved").read_text() == str(int(number))
    with pytest.raises(StoppedBySignal):  # no other is started
        children.run(child)


def test_status_and_output_are_those_of_the_tool(tmp_path):
    tool = tmp_path / "tool.py"
    tool.write_text("import os, sys; print(os.environ['SETTING']); sys.exit(3)")
    with open(tmp_path / "log", "w") as log:
        assert ChildTools().run([str(tool)], log, {"SETTING": "some value"}) == 3
    assert (tmp_path / "log").read_text() == "some value\n"


def test_killed_parent_has_the_child_save(child, tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *child], cwd=tmp_path)
    wait_for("ready")
    parent.kill()
    parent.wait()
    assert wait_for("saved") == str(int(signal.SIGTERM))


POOL = """
import multiprocessing, os, pathlib, runpy, sys, time

def become_worker():
    runpy.run_path(sys.argv[1])["become_worker"]()
    pathlib.Path("starting").write_text(str(os.getpid()))
    pathlib.Path("starting").rename("ready")

if __name__ == "__main__":
    with multiprocessing.get_context("forkserver").Pool(1, initializer=become_worker) as pool:
        pool.apply(time.sleep, (600,))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the processes in /proc")
def test_worker_of_a_pool_ignores_ctrl_c_and_ends_with_a_killed_parent(child, tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    parent = subprocess.Popen([sys.executable, "pool.py", child[1]], cwd=tmp_path)
    worker = int(wait_for("ready"))
    os.kill(worker, signal.SIGINT)
    time.sleep(0.3)
    assert Path(f"/proc/{worker}").exists()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 120
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
