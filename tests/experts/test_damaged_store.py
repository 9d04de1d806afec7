"""Damage to a store's files is noticed by readers and mended by the next extraction."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.experts import ExpertStore

FILES = [
    "prompts.npy",
    "shards/00001/shard.json",
    "shards/00000/images.npy",
    "shards/00001/lesions.npy",
    "shards/00002/patch_grids.npy",
]


def read_everything(folder, records):
    """Read what training and a user of patch grids read."""
    store = ExpertStore(folder)
    store.check(records)
    for record in records:
        entry = store[record["image_id"]]
        assert entry.image_embedding.shape == (8,)
        assert entry.patch_grid is not None


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def flip_header(path):
    content = bytearray(path.read_bytes())
    content[30] ^= 16
    path.write_bytes(content)


def append(path):
    path.write_bytes(path.read_bytes() + b"x")


def make_text(path):
    path.write_bytes(b"x" * len(path.read_bytes()))


def make_nan(path):
    array = np.load(path)
    target = array if array.dtype.names is None else array[array.dtype.names[-1]]
    target[...] = np.nan if target.dtype.kind == "f" else 99
    np.save(path, array)


def make_folder(path):
    path.unlink()
    path.mkdir()


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_link_to_itself(path):
    path.unlink()
    path.symlink_to(path)


def remove(path):
    path.unlink()


DAMAGES = [
    empty,
    cut,
    flip,
    flip_header,
    append,
    make_text,
    make_nan,
    make_folder,
    make_pipe,
    make_link_to_itself,
    remove,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_refused_and_mended(records, write_store, name, damage):
    folder = write_store(records)
    before = contents(folder)
    if damage is make_nan and not name.endswith(".npy"):
        pytest.skip("it holds no array")
    damage(folder / name)
    with pytest.raises(InputError, match=r"cannot be read \(.*same options") as error:
        read_everything(folder, records)
    assert str(error.value).isprintable()
    if damage is make_folder and name.count("/") == 0:
        with pytest.raises(InputError, match="cannot write the expert store"):
            write_store(records)
        return
    write_store(records)
    read_everything(folder, records)
    assert contents(folder) == before


def test_swapped_shards(records, write_store):
    folder = write_store(records)
    before = contents(folder)
    first, second, other = (folder / "shards" / name for name in ("00000", "00001", "x"))
    first.rename(other)
    second.rename(first)
    other.rename(second)
    read_everything(folder, records)  # the keys of the images are in the shards
    write_store(records)
    assert contents(folder) == before


def test_a_shard_that_is_there_twice(records, write_store):
    folder = write_store(records)
    before = contents(folder)
    shutil.rmtree(folder / "shards" / "00001")
    shutil.copytree(folder / "shards" / "00000", folder / "shards" / "00001")
    with pytest.raises(InputError, match="does not hold 7 images"):
        ExpertStore(folder)
    write_store(records)
    assert contents(folder) == before


def test_a_shard_of_another_store(records, write_store, settings, tmp_path):
    """Another expert's: its own checksums agree, its settings do not."""
    folder = write_store(records)
    settings = dataclasses.replace(settings, weights_sha256="1" * 64)
    other = write_store(records, tmp_path / "other", settings=settings)
    shutil.rmtree(folder / "shards" / "00001")
    shutil.copytree(other / "shards" / "00001", folder / "shards" / "00001")
    with pytest.raises(InputError, match=r"00001 .* cannot be read \(it was made with other"):
        ExpertStore(folder)


@pytest.mark.parametrize(
    "damage", [empty, flip, flip_header, make_folder, make_pipe, make_link_to_itself]
)
def test_damaged_manifest_needs_overwriting(records, write_store, damage):
    folder = write_store(records)
    before = contents(folder)
    damage(folder / "manifest.json")
    with pytest.raises(InputError, match=r"manifest\.json .*--overwrite"):
        ExpertStore(folder)
    if damage is make_link_to_itself or damage is make_folder:
        with pytest.raises(InputError, match="expert store"):
            write_store(records)
        return
    with pytest.raises(InputError, match=r"manifest\.json .*--overwrite"):
        write_store(records)
    write_store(records, overwrite=True)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda manifest: manifest["settings"].update(logit_scale=1.0),
        lambda manifest: manifest["settings"].update(embedding_dim=float("nan")),
        lambda manifest: manifest["prompts"].reverse(),
        lambda manifest: manifest.pop("settings"),
        lambda manifest: manifest.update(images=3),
    ],
)
def test_edited_manifest(records, write_store, edit):
    folder = write_store(records)
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="was edited or damaged"):
        ExpertStore(folder)


@pytest.mark.parametrize(
    "content", ["[" * 100000, '{"format_version": true}', "[]", "null", "\x00"]
)
def test_manifest_of_another_kind(records, write_store, content):
    folder = write_store(records)
    (folder / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="is not the manifest of an expert store"):
        ExpertStore(folder)


def test_leftovers_of_killed_writes_are_removed(records, write_store):
    folder = write_store(records)
    before = contents(folder)
    (folder / ".manifest.json.9999999.abcd1234.part").write_text("{")
    (folder / ".prompts.npy.9999999.abcd1234.part").write_text("x")
    (folder / "shards" / ".partial-abc").mkdir()
    (folder / "shards" / ".partial-abc" / "images.npy").write_text("x")
    write_store(records)
    assert contents(folder) == before
