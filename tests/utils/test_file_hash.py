import hashlib
import os

import pytest

from medmask.errors import InputError
from medmask.utils.file_hash import hash_file, hash_if_there, hash_weights_file


def test_hash_is_that_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert hash_file(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()
    with pytest.raises(FileNotFoundError):
        hash_file(tmp_path / "none")


def test_weights_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"^checkpoint .*none\.pth cannot be read: No such file"):
        hash_weights_file(tmp_path / "none.pth")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        hash_weights_file(tmp_path)


def test_hash_of_what_may_be_absent_is_that_of_the_file_as_it_is_now(tmp_path):
    path = tmp_path / "file"
    assert hash_if_there(None) is hash_if_there(path) is hash_if_there(tmp_path) is None
    for content in (b"content", b"other", b"longer content"):
        path.write_bytes(content)
        os.utime(path, ns=(0, len(content)))  # or both might be written in one tick of the clock
        assert hash_if_there(path) == hashlib.sha256(content).hexdigest()
