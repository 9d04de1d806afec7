"""Credentials from the environment and from files, which nothing else shows."""

import base64
import json

import pytest

from medmask.dicomweb.credentials import PASSWORD, TOKEN, USER, Credentials, read_credentials
from medmask.errors import InputError


def test_environment():
    found = read_credentials(environment={USER: "reader", PASSWORD: "ö:x"})
    assert base64.b64decode(found.header.removeprefix("Basic ")) == "reader:ö:x".encode()
    assert read_credentials(environment={TOKEN: "abc"}).header == "Bearer abc"
    assert read_credentials(environment={}).header is None
    assert read_credentials(environment={USER: "", PASSWORD: ""}).header is None


def test_representation_hides_secrets():
    assert "hidden" not in repr(Credentials("reader", "hidden")) + repr(Credentials(token="hidden"))


def write(path, content, mode=0o600):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def test_file(tmp_path):
    path = write(tmp_path / "c.json", {"user": "reader", "password": "x"})
    assert read_credentials(path, {TOKEN: "abc"}) == Credentials("reader", "x")


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ({"token": "SECRET"}, 0o640, "may be read by others than its owner: run 'chmod 600"),
        ({"token": "SECRET"}, 0o604, "may be read by others"),
        ({"user": "SECRET"}, 0o600, "both a user and a password"),
        ({"user": "u", "password": "SECRET", "token": "t"}, 0o600, "not both"),
        ({"user": "u", "password": 1}, 0o600, "must hold"),
        ({"user": "u", "password": ""}, 0o600, "must hold"),
        ({"user": "u", "key": "SECRET"}, 0o600, "must hold"),
        ({}, 0o600, "must hold"),
        (["SECRET"], 0o600, "must hold"),
        ({"token": "SECRET\r\nHost: x"}, 0o600, "line break"),
        ({"user": "a:b", "password": "SECRET"}, 0o600, "no colon"),
        ({"token": "SECRET”"}, 0o600, "ASCII"),
        ("{SECRET", 0o600, "is not valid JSON"),
    ],
    ids=range(13),
)
def test_faulty_files(tmp_path, content, mode, words):
    with pytest.raises(InputError, match=words) as caught:
        read_credentials(write(tmp_path / "c.json", content, mode))
    assert "SECRET" not in str(caught.value)
