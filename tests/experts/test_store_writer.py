import dataclasses
import os

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.experts import ExpertStore, StoreWriter


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def embedded(monkeypatch):
    """Collects the numbers of the shards that are written."""
    numbers = []
    write = StoreWriter.write

    def spy(self, number, entries):
        numbers.append(number)
        write(self, number, entries)

    monkeypatch.setattr(StoreWriter, "write", spy)
    return numbers


def test_interrupted_between_shards(
    records, write_store, settings, prompt_embeddings, embed, embedded, tmp_path
):
    reference = write_store(records, tmp_path / "reference")
    embedded.clear()
    folder = tmp_path / "store"
    writer = StoreWriter(folder, settings, records, 3)
    writer.prepare(prompt_embeddings)
    writer.write(1, [embed(r) for r in writer.shard_dicts(1)])
    (folder / "shards" / ".partial-abc").mkdir()  # what a process that is killed leaves
    (folder / "shards" / ".partial-abc" / "images.npy").write_bytes(b"half")
    with pytest.raises(InputError, match="is not complete"):
        ExpertStore(folder)
    assert write_store(records) == folder
    assert embedded == [1, 0, 2]
    assert files_of(folder) == files_of(reference)


def test_a_write_that_fails_leaves_no_shard(records, settings, prompt_embeddings, embed, tmp_path):
    writer = StoreWriter(tmp_path / "store", settings, records, 3)
    writer.prepare(prompt_embeddings)
    entries = [embed(r) for r in writer.shard_dicts(0)]
    entries[1] = dataclasses.replace(entries[1], patch_grid=np.zeros((1, 1)))
    with pytest.raises(ValueError, match="shape"):
        writer.write(0, entries)
    assert writer.open_shards() == [0, 1, 2]
    assert not list((tmp_path / "store").glob("shards/*"))


def test_nothing_is_redone_where_nothing_changed(records, write_store, embedded):
    folder = write_store(records)
    before = files_of(folder)
    embedded.clear()
    write_store(records)
    assert embedded == []
    assert files_of(folder) == before


def test_only_the_shards_of_changed_images_are_redone(records, write_store, embedded, tmp_path):
    folder = write_store(records)
    embedded.clear()
    records[4]["annotations"][0]["bbox"][0] += 1
    write_store(records)
    assert embedded == [1]
    os.replace(records[1]["file_name"], records[0]["file_name"])
    del records[1]
    write_store(records)
    assert embedded == [1, 0, 1]  # all moved up by one; the third shard is not needed any more
    assert files_of(folder) == files_of(write_store(records, tmp_path / "fresh"))
    ExpertStore(folder).check(records)


def test_added_images_add_a_shard(records, write_store, embedded):
    write_store(records[:6])
    embedded.clear()
    folder = write_store(records)
    assert embedded == [2]
    assert len(ExpertStore(folder)) == 7


def test_image_that_changes_while_it_is_embedded(
    records, settings, prompt_embeddings, embed, tmp_path
):
    writer = StoreWriter(tmp_path / "store", settings, records, 3)
    writer.prepare(prompt_embeddings)
    for number in range(3):
        writer.write(number, [embed(r) for r in writer.shard_dicts(number)])
    os.replace(records[5]["file_name"], records[0]["file_name"])
    with pytest.raises(InputError, match=r"2 images changed while .*: 11 \(.*; 0 \(.*cannot be"):
        writer.finish()
    assert writer.open_shards() == [0, 1]


@pytest.mark.parametrize(
    "change", [{"model": "ViT-B-32"}, {"dtype": "float32"}, {"weights_sha256": "1" * 64}]
)
def test_other_settings_need_another_folder_or_overwriting(records, write_store, settings, change):
    folder = write_store(records)
    other = dataclasses.replace(settings, **change)
    with pytest.raises(InputError, match=rf"made with another {next(iter(change))}: .*--overwrite"):
        write_store(records, settings=other)
    ExpertStore(folder).check(records)
    write_store(records, settings=other, overwrite=True)
    assert ExpertStore(folder).settings.fingerprint() == other.fingerprint()


def test_killed_before_the_first_manifest_was_written(records, write_store, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".manifest.json.9999999.abcd1234.part").write_text("{")
    ExpertStore(write_store(records)).check(records)


def test_killed_while_overwriting(records, write_store, settings, monkeypatch):
    folder = write_store(records)
    other = dataclasses.replace(settings, model="ViT-B-32")

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("medmask.experts.store_writer.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            write_store(records, settings=other, overwrite=True)
    with pytest.raises(InputError, match="is not complete"):
        ExpertStore(folder)
    with pytest.raises(InputError, match="made with another model"):
        write_store(records)
    write_store(records, settings=other)
    ExpertStore(folder).check(records)


def test_foreign_folder_is_left_alone(records, write_store, tmp_path):
    (tmp_path / "thesis.txt").write_text("words")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds no expert store"):
            write_store(records, tmp_path, overwrite=overwrite)
    with pytest.raises(InputError, match="cannot write the expert store"):
        write_store(records, tmp_path / "thesis.txt")


def test_two_images_of_one_id(records, write_store):
    records[3]["image_id"] = 11
    with pytest.raises(InputError, match=r"0\.png and .*3\.png have the same image_id 11"):
        write_store(records)


def test_shard_size(records, settings, tmp_path):
    with pytest.raises(InputError, match="shard size is 0"):
        StoreWriter(tmp_path, settings, records, 0)
