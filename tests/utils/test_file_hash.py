import hashlib

import pytest

from medmask.utils.file_hash import hash_file


def test_hash_is_that_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert hash_file(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()
    with pytest.raises(FileNotFoundError):
        hash_file(tmp_path / "none")
