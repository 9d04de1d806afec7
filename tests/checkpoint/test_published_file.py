"""Files of published checkpoints: what is read, what is refused."""

import argparse
import re
from pathlib import Path

import pytest
import torch

from medmask.checkpoint import read_published_file
from medmask.errors import InputError


def test_official_files_are_read_with_their_arguments(tmp_path):
    parameters = {"transformer.level_embed": torch.rand(2, 3)}
    content = {"model": parameters, "args": argparse.Namespace(lr=2e-4), "epoch": 49}
    torch.save(content, tmp_path / "official.pth", _use_new_zipfile_serialization=False)
    torch.save(parameters, tmp_path / "plain.pth")
    for name in ("official.pth", "plain.pth"):
        read = read_published_file(tmp_path / name)
        assert read.keys() == parameters.keys()
        assert torch.equal(read["transformer.level_embed"], parameters["transformer.level_embed"])


def test_safetensors_are_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    parameters = {"transformer.level_embed": torch.rand(2, 3)}
    safetensors.save_file(parameters, tmp_path / "model.safetensors")
    read = read_published_file(tmp_path / "model.safetensors")
    assert torch.equal(read["transformer.level_embed"], parameters["transformer.level_embed"])


@pytest.mark.parametrize("content", [b"", b"PK", b"\x40" + bytes(7) + b"{}", b"\xff" * 80])
def test_damaged_safetensors_are_refused(tmp_path, content):
    pytest.importorskip("safetensors")
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^checkpoint {re.escape(str(path))} .*damaged"):
        read_published_file(path)
    with pytest.raises(InputError, match="does not exist"):
        read_published_file(tmp_path / "absent.safetensors")


class RunsCode:
    def __repr__(self):
        return "RunsCode()"  # of one name in all processes of the tests

    def __reduce__(self):
        return exec, ("raise SystemExit('code from a checkpoint was run')",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}, "hook": RunsCode()}, "it holds .*exec"),
        ({"model": {}, "path": Path("x")}, "it holds pathlib"),
        ({"student": {"a": torch.zeros(1)}, "teacher": {}}, "student, teacher"),
        ({"model": {}}, "no parameters"),
        ({"model": {"a": torch.eye(3).to_sparse()}}, "sparse"),
        ({"model": {"a": torch.zeros(1, device="meta")}}, "without values"),
        ({"model": {"a": torch.zeros(1).expand(10**12)}}, "without values of their own"),
        ([torch.zeros(1)], "no state_dict"),
        (b"", "damaged"),
        (b"PK\x03\x04 cut off", "damaged"),
        (b"<html>404 not found</html>", "damaged"),
        (None, "cannot be opened"),
    ],
    ids=str,
)
def test_files_without_parameters_are_refused(tmp_path, content, message):
    path = tmp_path / "file.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=f"^checkpoint {re.escape(str(path))} .*{message}"):
        read_published_file(path)
