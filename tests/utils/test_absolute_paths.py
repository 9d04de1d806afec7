"""Absolute paths lead where the paths lead that they are made of."""

import os
from pathlib import Path

import pytest

from medmask.utils.absolute_paths import absolute_path


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("a/x", "here/a/x"),
        ("./a//x", "here/a/x"),
        ("a/../x", "here/x"),
        ("link/x", "here/link/x"),
        ("link/../x", "real/x"),
        ("link/in/../x", "here/link/x"),
        ("absent/../x", "here/x"),
        ("../x", "x"),
    ],
)
def test_links_stay_but_those_that_are_climbed_out_of(tmp_path, monkeypatch, path, wanted):
    for folder in ("here/a", "real/deep/in"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "real" / "deep")
    monkeypatch.chdir(tmp_path / "here")
    assert absolute_path(path) == str(tmp_path / wanted)
    assert absolute_path(tmp_path / "here" / Path(path)) == str(tmp_path / wanted)
    assert os.path.realpath(absolute_path(path)) == os.path.realpath(path)
