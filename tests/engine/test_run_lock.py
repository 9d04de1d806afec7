"""Two runs never share a folder, and what a killed run leaves keeps nobody out."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from medmask.engine.run_lock import LOCK, lock_folder
from medmask.errors import InputError

HOLDER = """
import os, sys, time
from medmask.engine.run_lock import lock_folder
with lock_folder(sys.argv[1]):
    if "fork" not in sys.argv or os.fork() > 0:
        print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path):
    """Starts a process that holds the lock of ``tmp_path``."""
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), *arguments],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        processes.append(process)
        assert process.stdout.readline() == b"locked\n"
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_second_run_is_refused_until_the_first_ends(tmp_path):
    with lock_folder(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
        with pytest.raises(InputError, match="in use"), lock_folder(tmp_path):
            pass
    assert not (tmp_path / LOCK).exists()
    with lock_folder(tmp_path):
        pass


def test_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), lock_folder(tmp_path):
        raise RuntimeError
    with lock_folder(tmp_path):
        pass


def test_run_of_another_process_is_named_and_its_kill_frees_the_folder(tmp_path, hold):
    process = hold()
    with (
        pytest.raises(InputError, match=f"process {process.pid} on .* since "),
        lock_folder(tmp_path),
    ):
        pass
    process.kill()
    process.wait()
    assert (tmp_path / LOCK).exists()
    with lock_folder(tmp_path):
        pass


def test_children_of_a_killed_run_do_not_keep_the_lock(tmp_path, hold):
    process = hold("fork")
    process.kill()  # the child, like a worker of a loader, lives on for a while
    process.wait()
    os.killpg(process.pid, 0)  # raises if nothing of the run is left
    with lock_folder(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process": 1}'])
def test_file_that_nobody_holds_is_taken_over(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    with lock_folder(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()


def test_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*arguments):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    with lock_folder(tmp_path):
        pass
    assert "cannot be locked" in caplog.text
