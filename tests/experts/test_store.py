import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.experts import DEFAULT_PROMPTS, ExpertStore, StoreWriter
from medmask.experts.checksums import write_hashed_json


def test_round_trip(records, write_store, embed):
    store = ExpertStore(write_store(records))
    assert len(store) == 7
    for record in records:
        expected, entry = embed(record), store[record["image_id"]]
        assert entry.image_embedding.shape == (store.settings.embedding_dim,) == (8,)
        assert entry.image_embedding.dtype == entry.lesion_embeddings.dtype == np.float32
        assert entry.lesion_embeddings.shape == (len(record["annotations"]), 8)
        assert entry.patch_grid.shape == (2, 3, 5)
        for name in ("image_embedding", "lesion_embeddings", "patch_grid"):
            np.testing.assert_allclose(
                getattr(entry, name), getattr(expected, name), rtol=1e-3, atol=1e-4
            )
    store.check(records)


def test_ids_that_look_alike_are_told_apart(records, write_store):
    store = ExpertStore(write_store(records))
    assert not np.array_equal(store[11].image_embedding, store["11"].image_embedding)
    assert np.array_equal(store[np.int64(11)].image_embedding, store[11].image_embedding)
    assert "mlo/left" in store
    assert 2**40 in store
    for absent in (1, "1", "3", "s11", -5, 2**41, "zzz"):
        assert absent not in store
    with pytest.raises(InputError, match=r"has no image '3'"):
        store["3"]
    with pytest.raises(InputError, match=r"image id 1.5 is neither"):
        store[1.5]


def test_prompts(records, write_store, prompt_embeddings):
    prompts = ExpertStore(write_store(records)).prompts
    assert prompts.texts == DEFAULT_PROMPTS.texts
    assert prompts.class_names == ("malignant", "normal")
    assert prompts.class_indices == (0, 0, 0, 1, 1, 1)
    assert prompts.embeddings.dtype == np.float32
    np.testing.assert_allclose(prompts.embeddings, prompt_embeddings, rtol=1e-6)
    assert prompts.logit_scale == 12.5


def test_full_precision_and_no_patch_grid(records, write_store, settings, tmp_path, embed):
    settings = dataclasses.replace(settings, dtype="float32", patch_grid=None)
    writer = StoreWriter(tmp_path / "store", settings, records, shard_size=10)
    writer.prepare(np.zeros((6, 8)))
    writer.write(0, [dataclasses.replace(embed(r), patch_grid=None) for r in records])
    writer.finish()
    entry = ExpertStore(tmp_path / "store")[5]
    expected = embed(records[-1]).image_embedding.astype(np.float32)
    assert np.array_equal(entry.image_embedding, expected)
    assert entry.patch_grid is None


def test_no_image_has_a_lesion(records, write_store):
    for record in records:
        record["annotations"] = []
    store = ExpertStore(write_store(records))
    assert [store[r["image_id"]].lesion_embeddings.shape for r in records] == [(0, 8)] * 7
    store.check(records)


def test_arrays_are_memory_mapped_and_read_on_demand(records, write_store):
    store = ExpertStore(write_store(records))
    for array in (store[11].patch_grid, store._shards[0].keys):
        assert not array.flags.owndata
        assert not array.flags.writeable
        assert isinstance(_owner(array), np.memmap)


def _owner(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_nothing_is_imported_before_it_is_needed():
    program = """
import sys
import medmask.experts.extraction, medmask.phantom.expert
unwanted = {"open_clip", "timm", "transformers"} & set(sys.modules)
assert not unwanted, unwanted
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_check_names_what_is_missing_or_changed(records, write_store):
    folder = write_store(records[:-1])
    changed, moved, boxes, gone = records[0], records[1], records[2], records[4]
    with open(changed["file_name"], "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x00")
    os.utime(moved["file_name"], (1, 1))  # a copied file has the content that was embedded
    boxes["annotations"][1]["bbox"][2] += 0.5
    os.remove(gone["file_name"])
    with pytest.raises(InputError) as error:
        ExpertStore(folder).check(records)
    message = str(error.value)
    assert "does not fit 4 of 7 images" in message
    assert f"image 11 ({changed['file_name']}) has another content" in message
    assert f"3 ({boxes['file_name']}) has other boxes" in message
    assert f"{2**40} ({gone['file_name']}) cannot be read" in message
    assert f"5 ({records[-1]['file_name']}) is not in the store" in message
    assert moved["file_name"] not in message


def test_check_shows_the_first_of_many(records, write_store):
    folder = write_store(records)
    for record in records:
        record["annotations"] = record["annotations"][1:] + record["annotations"]
        record["image_id"] = f"new {record['image_id']}"
    with pytest.raises(InputError, match=r"7 of 7 .*'new 0' \(.*\) is not in .*; and 2 more$"):
        ExpertStore(folder).check([*records[5:], *records[:5]])


def test_a_lesion_less_or_in_another_order_is_noticed(records, write_store):
    store = ExpertStore(write_store(records))
    records[2]["annotations"].reverse()
    with pytest.raises(InputError, match=r"3 .* has other boxes"):
        store.check(records)
    records[2]["annotations"] = []
    with pytest.raises(InputError, match=r"3 .* has other boxes"):
        store.check(records)


def test_folders_that_hold_no_sound_store(records, write_store, tmp_path):
    with pytest.raises(InputError, match="holds no expert store"):
        ExpertStore(tmp_path)
    folder = write_store(records)
    with pytest.raises(InputError, match=f"holds no expert store: name those in it, .*{folder}"):
        ExpertStore(folder.parent)
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    write_hashed_json(manifest, {"format_version": 2})
    with pytest.raises(InputError, match=r"format version 2, .* reads 4: .*--overwrite"):
        ExpertStore(folder)
    manifest.write_text(text[:50])
    with pytest.raises(InputError, match="not the manifest of an expert store"):
        ExpertStore(folder)


def test_unfinished_store(records, settings, prompt_embeddings, tmp_path):
    StoreWriter(tmp_path / "store", settings, records, 3).prepare(prompt_embeddings)
    with pytest.raises(InputError, match="is not complete"):
        ExpertStore(tmp_path / "store")
