import hashlib

import pytest

from medmask.errors import InputError
from medmask.utils.file_hash import hash_file, hash_weights_file


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
