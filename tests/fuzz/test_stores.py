"""Damaged expert stores: one sentence, or exactly the embeddings that were stored; and extraction
run again leaves a store that is whole, or refuses."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from campaign import REFUSED, RIGHT, run_campaign, seeds
from detectron2.structures import BoxMode
from expert_stores import WHOLE, write_expert_store
from isolation import assert_accepted, call
from mutations import damage_bytes, damage_json, to_json_bytes
from PIL import Image

from medmask.errors import InputError
from medmask.experts import (
    DEFAULT_PROMPTS,
    ExpertStore,
    ImageEmbeddings,
    StoreSettings,
    sign_file,
)

DIM, GRID = 4, (1, 2, 3)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Three images of one lesion each, but for the first."""
    folder = tmp_path_factory.mktemp("images")
    records = []
    for number in range(3):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((8, 8), 9 * number, np.uint8)).save(path)
        box = {"bbox": [1, 2, 3, 3 + number], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0}
        records.append(
            {"file_name": str(path), "image_id": number, "annotations": [box] * (number > 0)}
        )
    return records


def extract(folder: Path, records: list[dict], *, overwrite: bool = False) -> None:
    """Do what tools/extract_expert_embeddings.py does, with an expert of random numbers."""
    settings = StoreSettings(
        model="an expert",
        weights_sha256="0" * 64,
        embedding_dim=DIM,
        patch_grid=GRID,
        logit_scale=10.0,
        preprocessing={"size": [8, 8]},
        prompts=DEFAULT_PROMPTS,
    )
    generator = np.random.default_rng(5)
    values = generator.normal(size=(len(records), DIM + int(np.prod(GRID))))
    prompts = generator.normal(size=(len(DEFAULT_PROMPTS.texts), DIM))

    def embed(record: dict) -> ImageEmbeddings:
        row = values[record["image_id"]]
        lesions = row[None, :DIM].repeat(len(record["annotations"]), axis=0)
        signature = sign_file(record["file_name"])
        return ImageEmbeddings(signature, row[:DIM], lesions, row[DIM:].reshape(GRID), WHOLE)

    write_expert_store(folder, settings, records, embed, prompts, shard_size=2, overwrite=overwrite)


def read(folder: Path, records: list[dict]) -> list[np.ndarray]:
    """Read what training reads, and the patch grids."""
    store = ExpertStore(folder)
    store.check(records)
    entries = [store[record["image_id"]] for record in records]
    arrays = [store.prompts.embeddings, store.prompts.class_embeddings]
    for entry in entries:
        arrays += [entry.image_embedding, entry.lesion_embeddings, np.array(entry.patch_grid)]
    return arrays


def damage_store(folder: Path, random_state: random.Random) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path, other = random_state.sample(files, 2)
    kind = random_state.choice(
        ("bytes", "bytes", "bytes", "json", "swap", "remove", "move", "shards")
    )
    if kind == "json" and path.suffix == ".json":
        content = damage_json(json.loads(path.read_text()), random_state)
        path.write_bytes(to_json_bytes(content))
    elif kind == "swap":
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif kind == "remove":
        path.unlink()
    elif kind == "move":
        path.rename(path.with_name(f"{path.name}.bak"))
    elif kind == "shards":
        first, second = folder / "shards" / "00000", folder / "shards" / "00001"
        if random_state.random() < 0.5:
            first.rename(folder / "shards" / "00007")
        else:
            shutil.rmtree(second)
            shutil.copytree(first, second)
    else:
        path.write_bytes(damage_bytes(path.read_bytes(), random_state))


def is_same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def use(folder: Path, records: list[dict], expected: list[np.ndarray]) -> str:
    """Read a damaged store, extract again, read again; how that ended."""
    verdict, error = RIGHT, "printable"
    try:
        assert is_same(read(folder, records), expected), "other embeddings"
    except InputError as refusal:
        verdict, error = f"{REFUSED}, mended", str(refusal)
    assert error.isprintable(), error
    if not (folder / "manifest.json").exists():
        return REFUSED  # nothing tells that the folder is a store, so it is left alone
    try:
        extract(folder, records)
    except InputError:
        extract(folder, records, overwrite=True)
        verdict = f"{REFUSED}, mended by overwriting"
    assert is_same(read(folder, records), expected), "not mended"
    return verdict


@seeds
def test_damaged_stores(seeds, records, tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "store"
    extract(whole, records)
    expected = read(whole, records)

    def case(random_state: random.Random) -> str:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        damage_store(folder, random_state)
        return assert_accepted(call(use, folder, records, expected))

    run_campaign(seeds, case)
