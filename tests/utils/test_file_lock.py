"""Locks on files; two openings of a file are as strange to each other as two processes."""

import errno
import fcntl

import pytest

from medmask.errors import InputError
from medmask.utils.file_lock import lock_file


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [(False, False, True), (True, False, True), (False, True, True), (True, True, False)],
)
def test_only_shared_locks_go_together(tmp_path, first, second, is_refused):
    path = tmp_path / "x"
    with path.open("a+b") as one, path.open("a+b") as other:
        lock_file(one, "taken", is_shared=first)
        if is_refused:
            with pytest.raises(InputError, match="taken"):
                lock_file(other, "taken", is_shared=second)
        else:
            lock_file(other, "taken", is_shared=second)
    with path.open("a+b") as file:
        lock_file(file, "taken")


def test_file_system_without_locks_passes(tmp_path, monkeypatch):
    def refuse(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (tmp_path / "x").open("a+b") as file:
        lock_file(file, "taken")
