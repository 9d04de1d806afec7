"""Damage to a file of weights is refused in a sentence, or changes nothing."""

import os
import pickle
import zipfile

import pytest
import torch

from medmask.checkpoint import load_tensor_file, read_published_file
from medmask.errors import InputError

CONTENT = {"model": {"a": torch.arange(40.0), "b": torch.tensor([1, -1])}, "iteration": 3}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(CONTENT, path)
    return path


def is_intact(content):
    model = content["model"]
    return content.keys() == CONTENT.keys() and all(
        torch.equal(x, model[name]) for name, x in CONTENT["model"].items()
    )


def refuses_or_is_intact(path):
    try:
        return is_intact(load_tensor_file(path))
    except InputError as error:
        return str(error).isprintable()


def test_undamaged(path):
    assert is_intact(load_tensor_file(path))


@pytest.mark.parametrize("bit", [0, 4, 5])
def test_a_flipped_bit_anywhere(path, bit):
    content = path.read_bytes()
    for position in range(bit % 3, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        assert refuses_or_is_intact(path), position


def test_every_flipped_bit_of_values_is_refused(path):
    content = path.read_bytes()
    start = content.index(CONTENT["model"]["a"].numpy().tobytes())
    for position in range(start, start + 160, 7):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"is damaged or cut off .*checksum"):
            load_tensor_file(path)


def test_cut_anywhere(path):
    content = path.read_bytes()
    for length in range(0, len(content), 13):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="damaged"):
            load_tensor_file(path)


def rewrite(path, change, compression=zipfile.ZIP_STORED):
    """Write the archive again with checksums that agree; ``change`` edits its list of entries."""
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in change(entries):
            archive.writestr(name, content)


def test_written_again_by_another_program(path):
    rewrite(path, lambda entries: entries)
    assert is_intact(load_tensor_file(path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("rename", [str, str.upper])
def test_two_entries_of_one_name(path, rename):
    rewrite(path, lambda entries: [*entries, (rename(entries[4][0]), bytes(160))])
    with pytest.raises(InputError, match="two entries of one name"):
        load_tensor_file(path)


def test_compressed_entries(path):
    """A few kilobytes could hold gigabytes."""
    rewrite(
        path,
        lambda entries: [*entries, ("weights/data/9", bytes(10**7))],
        compression=zipfile.ZIP_DEFLATED,
    )
    assert path.stat().st_size < 10**5
    with pytest.raises(InputError, match="compressed"):
        load_tensor_file(path)


def test_two_archives_in_one_file(path):
    first = path.read_bytes()
    changed = {**CONTENT, "model": {**CONTENT["model"], "a": -torch.arange(40.0)}}
    torch.save(changed, path)
    path.write_bytes(first + path.read_bytes())
    with pytest.raises(InputError, match="does not begin with an entry"):
        load_tensor_file(path)


def test_storage_that_is_larger_than_its_record(path):
    rewrite(
        path,
        lambda entries: [
            (name, content.replace(b"K(", b"K\xff") if name.endswith(".pkl") else content)
            for name, content in entries
        ],
    )
    with pytest.raises(InputError, match="cannot be read"):
        load_tensor_file(path)


def test_format_without_checksums_is_for_published_files_only(tmp_path):
    path = tmp_path / "old.pth"
    torch.save(CONTENT, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"torch before 1\.6, which has no checksums"):
        load_tensor_file(path)
    assert torch.equal(read_published_file(path)["a"], CONTENT["model"]["a"])


def test_containers_nested_deeply(tmp_path):
    path = tmp_path / "deep.pth"
    torch.save({"model": {"a": torch.zeros(1)}}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    for odd in (b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".", pickle.dumps(None, 2)):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, odd if name.endswith(".pkl") else content)
        with pytest.raises(InputError, match="no state_dict"):
            read_published_file(path)


def test_files_of_other_kinds(tmp_path):
    pipe, loop, sparse = (tmp_path / name for name in ("pipe.pth", "loop.pth", "sparse.pth"))
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    with sparse.open("wb") as file:
        file.truncate(3 * 2**30)
    for path, message in [
        (tmp_path, "is a folder"),
        (pipe, "no regular file"),
        ("/dev/zero", "no regular file"),
        (loop, "cannot be opened"),
        (sparse, "no checkpoint"),
        (tmp_path / "absent.pth", "does not exist"),
        (tmp_path / ("x" * 300), "cannot be opened"),
        (f"{tmp_path}/a\0b", "cannot be opened"),
    ]:
        with pytest.raises(InputError, match=message):
            load_tensor_file(path)
