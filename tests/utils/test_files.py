import errno
import io
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from medmask.utils.files import (
    atomic_write,
    check_output_file,
    remove_abandoned_files,
    write_all,
)


def test_block_that_raises_leaves_the_old_content(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")

    def write_and_fail():
        with atomic_write(path, "w") as file:
            file.write("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("é" * 120 + ".json")
    with atomic_write(path, "w") as file:
        file.write("content")
    assert path.read_text() == "content"


def _write_too_much(path, connection):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        with atomic_write(path) as file:
            file.write(bytes(5000))
    except OSError as error:
        connection.send((error.errno, error.filename))


def test_error_names_the_file(tmp_path):
    path = tmp_path / "model.pth"
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_write_too_much, args=(path, theirs)
    )
    process.start()
    assert ours.recv() == (errno.EFBIG, str(path))
    process.join()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder nobody can write to")
def test_error_names_no_temporary_file():
    with pytest.raises(OSError, match=r"'/proc/self'$"):
        check_output_file("/proc/self/report.html")
    with (
        pytest.raises(OSError, match=r"'/proc/self/report.html'$"),
        atomic_write("/proc/self/report.html"),
    ):
        pass


def test_permissions_are_those_that_the_umask_leaves(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        # a thread that reads the umask by changing it opens what other threads write to everybody
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")
            with atomic_write(tmp_path / "report.html") as file:
                file.write(b"of a patient")
    finally:
        os.umask(before)
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o640


def _die_while_writing(path):
    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_killed_processes_left_is_removed(tmp_path):
    for path in (tmp_path / "model_0000004.pth", tmp_path / "inference" / "froc.json"):
        process = multiprocessing.get_context("fork").Process(
            target=_die_while_writing, args=(path,)
        )
        process.start()
        process.join()
    (tmp_path / ".mine.part").write_text("no file of ours")
    (tmp_path / "model.pth").write_text("whole")
    with atomic_write(tmp_path / "other.json", "w") as file:
        assert len(remove_abandoned_files(tmp_path)) == 2
        file.write("content")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        ".mine.part",
        "model.pth",
        "other.json",
    ]


def test_files_of_living_processes_stay(tmp_path):
    theirs = tmp_path / f".model.pth.{os.getppid()}.abcdefgh.part"
    theirs.write_text("half")
    # what a process of our number left in another container, or before a restart
    stale = tmp_path / f".model.pth.{os.getpid()}.abcdefgh.part"
    stale.write_text("half")
    assert remove_abandoned_files(tmp_path) == [stale]
    assert theirs.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart on Linux only")
def test_files_of_a_dead_process_that_nobody_collected_are_removed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # leaves it as it is
    try:
        left = tmp_path / f".model.pth.{child.pid}.abcdefgh.part"
        left.write_text("half")
        assert remove_abandoned_files(tmp_path) == [left]
    finally:
        child.wait()


def test_files_of_other_machines_stay_for_a_day(tmp_path):
    fresh, stale = (tmp_path / f".{name}.0123abcd-1.abcdefgh.part" for name in ("a.png", "b.png"))
    for path in (fresh, stale):
        path.write_text("half")
    two_days_ago = time.time() - 48 * 3600
    os.utime(stale, (two_days_ago, two_days_ago))
    assert remove_abandoned_files(tmp_path) == [stale]
    assert fresh.exists()


def test_content_and_then_name_outlive_a_crash_of_the_machine(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor):
        events.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def note_replace(source, target):
        events.append(("replace", str(source), str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    with atomic_write(tmp_path / "file.json", "w") as file:
        file.write("content")
    temporary, folder = events[0], os.path.realpath(tmp_path)
    assert events == [temporary, ("replace", temporary, str(tmp_path / "file.json")), folder]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_that_do_not_sync_folders_are_written_to(tmp_path, monkeypatch, number):
    sync = os.fsync

    def refuse_folders(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    with atomic_write(tmp_path / "file.json", "w") as file:
        file.write("content")
    assert (tmp_path / "file.json").read_text() == "content"


def test_disk_that_takes_parts_gets_all(tmp_path):
    class Disk(io.FileIO):
        def write(self, data):
            return super().write(data[:3])

    with Disk(tmp_path / "file", "w") as file:
        write_all(file, b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"
