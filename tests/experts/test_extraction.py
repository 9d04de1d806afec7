"""Whole data sets into stores: what is stored, resuming, several processes, file formats."""

import dataclasses
import fcntl
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from medmask.errors import InputError
from medmask.experts import ExpertStore, Prompts
from medmask.experts.extraction import ExtractionSettings, extract_embeddings
from medmask.experts.open_clip_expert import OpenClipExpert
from medmask.experts.preprocessing import lesion_crop
from medmask.images import read_image
from medmask.phantom import PhantomParameters, make_phantom_dataset

pytest.importorskip("open_clip", reason="open_clip_torch is not installed")

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "extract_expert_embeddings.py"
SETTINGS = ExtractionSettings(batch_size=2, shard_size=3, num_workers=0, dtype="float32")


@pytest.fixture(scope="module")
def expert(tiny_clip):
    return OpenClipExpert(f"local-dir:{tiny_clip}")


@pytest.fixture
def extract(expert, tmp_path):
    def run(records, folder=tmp_path / "store", **options):
        settings = dataclasses.replace(SETTINGS, **options)
        extract_embeddings(expert, records, folder, settings)
        return ExpertStore(folder)

    return run


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Roots of the same 90 small film phantoms as 8-bit and 16-bit PNG and as DICOM."""
    root = tmp_path_factory.mktemp("datasets")
    for file_format, images in (("png8", 90), ("png16", 8), ("dicom", 8)):
        make_phantom_dataset(
            root / file_format / "phantom",
            PhantomParameters(width=48, height=64, positive_fraction=0.9),
            split_sizes={"val": images},
            domains=["film"],
            file_format=file_format,
        )
    return root


def phantom_records(phantoms, file_format, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(phantoms / file_format))
    return DatasetCatalog.get("phantom_film_val")


def test_a_store_that_another_run_is_writing_is_refused(records, extract, tmp_path):
    extract(records)
    descriptor = os.open(tmp_path / "store", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(InputError, match="another run is writing the expert store"):
            extract(records)
    finally:
        os.close(descriptor)
    extract(records)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_number_is_that_of_the_image_alone(expert, records, extract, num_workers):
    store = extract(records, num_workers=num_workers)
    store.check(records)
    assert store.settings.embedding_dim == 16
    for record in records:
        image = read_image(record["file_name"])
        entry = store[record["image_id"]]
        embedding, grid = expert.encode_images_and_patches(expert.preprocessing(image)[None])
        np.testing.assert_allclose(entry.image_embedding, embedding[0], atol=1e-5)
        np.testing.assert_allclose(entry.patch_grid, grid[0], atol=1e-4)
        assert len(entry.lesion_embeddings) == len(record["annotations"])
        for lesion, annotation in zip(entry.lesion_embeddings, record["annotations"], strict=True):
            x, y, width, height = annotation["bbox"]
            crop = lesion_crop(image, (x, y, x + width, y + height), 2.0)
            expected = expert.encode_images(expert.preprocessing(crop)[None])[0]
            np.testing.assert_allclose(lesion, expected, atol=1e-5)
    np.testing.assert_allclose(
        store.prompts.embeddings, expert.encode_texts(store.prompts.texts), atol=1e-6
    )
    assert store.prompts.logit_scale == pytest.approx(expert.logit_scale)


def test_half_precision_keeps_directions(records, extract, tmp_path):
    full, half = extract(records), extract(records, tmp_path / "half", dtype="float16")
    for record in records:
        image_id = record["image_id"]
        cosine = full[image_id].image_embedding @ half[image_id].image_embedding
        assert cosine == pytest.approx(1, abs=1e-3)


def test_own_prompts_and_no_patch_grid(records, extract):
    prompts = Prompts.from_groups({"cancer": ["a cancer"], "none": ["nothing", "no cancer"]})
    store = extract(records, prompts=prompts, with_patch_grid=False, crop_context=1.5)
    assert store.prompts.class_names == ("cancer", "none")
    assert store.prompts.embeddings.shape == (3, 16)
    assert store[11].patch_grid is None
    assert "1.5 times" in store.settings.preprocessing["lesion_crop"]


def test_other_options_than_those_of_the_store(records, extract):
    extract(records)
    with pytest.raises(InputError, match="made with another preprocessing"):
        extract(records, crop_context=3)
    with pytest.raises(InputError, match="made with another shard_size"):
        extract(records, shard_size=4)


def test_changed_boxes_are_embedded_again(records, extract):
    before = extract(records)[3].lesion_embeddings
    records[2]["annotations"].reverse()
    after = extract(records)
    after.check(records)
    np.testing.assert_allclose(after[3].lesion_embeddings, before[::-1], atol=1e-5)


def test_image_that_cannot_be_read_keeps_the_finished_shards(records, extract, tmp_path):
    path = Path(records[4]["file_name"])
    content = path.read_bytes()
    path.write_bytes(content[:50])
    for num_workers in (0, 2):
        with pytest.raises(InputError, match=r"4\.png cannot be read") as error:
            extract(records, num_workers=num_workers)
        assert "Traceback" not in str(error.value)
    shards = tmp_path / "store" / "shards"
    assert [shard.name for shard in shards.iterdir()] == ["00000"]
    path.write_bytes(content)
    extract(records).check(records)


def test_image_of_another_size_than_recorded(records, extract):
    records[1]["width"] = 41
    with pytest.raises(InputError, match=r"1\.png is 40 x 60 .* says 41 x 60"):
        extract(records)


def test_numbers_that_do_not_fit_are_not_stored(records, expert, extract, monkeypatch):
    def encode(images):
        return np.full((len(images), 16), np.nan), np.zeros((len(images), 4, 4, 32))

    monkeypatch.setattr(expert, "encode_images_and_patches", encode)
    with pytest.raises(InputError, match=r"cannot hold for image .*0\.png"):
        extract(records)


def test_deep_images_and_dicom(phantoms, extract, tmp_path, monkeypatch):
    """12-bit PNG and DICOM (some of it inverted) hold the same values, 8-bit PNG nearly so."""
    stores = {}
    for file_format in ("png16", "dicom", "png8"):
        records = phantom_records(phantoms, file_format, monkeypatch)[:8]
        assert sum(len(record["annotations"]) for record in records) > 4
        stores[file_format] = extract(records, tmp_path / file_format), records
    for (deep, a), (dicom, b), (shallow, c) in zip(
        *([(s[r["image_id"]], r) for r in records] for s, records in stores.values()), strict=True
    ):
        assert Path(a["file_name"]).stem == Path(b["file_name"]).stem == Path(c["file_name"]).stem
        np.testing.assert_allclose(dicom.image_embedding, deep.image_embedding, atol=1e-3)
        np.testing.assert_allclose(dicom.lesion_embeddings, deep.lesion_embeddings, atol=1e-3)
        assert shallow.image_embedding @ deep.image_embedding > 0.95


@pytest.fixture
def run_tool(forked_python, phantoms, tiny_clip, tmp_path):
    """Starts the extraction of the validation images in a process group of its own."""

    def run(*options):
        return forked_python.start(
            [TOOL, "--dataset", "phantom_film_val", "--output", tmp_path / "out",
             "--model", f"local-dir:{tiny_clip}", "--device", "cpu", *options],
            env=os.environ | {
                "PYTHONPATH": str(ROOT),
                "DETECTRON2_DATASETS": str(phantoms / "png8"),
                "OMP_NUM_THREADS": "1",
            },
            start_new_session=True,
        )  # fmt: skip

    return run


def test_killed_run_goes_on_where_it_stopped(run_tool, phantoms, extract, tmp_path, monkeypatch):
    options = ("--shard-size", 1, "--num-workers", 1, "--dtype", "float32")
    process = run_tool(*options)
    shards = tmp_path / "out" / "phantom_film_val" / "shards"
    deadline = time.monotonic() + 300
    while not (shards / "00002").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = {shard.name: shard.stat().st_mtime_ns for shard in shards.glob("0*")}
    assert 3 <= len(finished) < 90
    with pytest.raises(InputError, match="is not complete"):
        ExpertStore(shards.parent)

    process = run_tool(*options)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert f"complete, 90 images; {90 - len(finished)} embedded now" in stdout
    assert "images/s" in stdout
    assert sorted(shard.name for shard in shards.iterdir()) == [f"{n:05d}" for n in range(90)]
    for name, written in finished.items():
        assert (shards / name).stat().st_mtime_ns == written

    records = phantom_records(phantoms, "png8", monkeypatch)
    store, expected = ExpertStore(shards.parent), extract(records)
    assert len(store) == 90
    store.check(records)
    for record in records:
        entry, wanted = store[record["image_id"]], expected[record["image_id"]]
        for name in ("image_embedding", "lesion_embeddings", "patch_grid"):
            np.testing.assert_allclose(getattr(entry, name), getattr(wanted, name), atol=1e-4)


@pytest.mark.parametrize("option", ["batch_size", "shard_size"])
def test_sizes_are_checked_before_the_expert_is_loaded(option):
    with pytest.raises(InputError, match=f"{option.replace('_', ' ')} is 0: give 1 or more"):
        ExtractionSettings(**{option: 0})


def test_two_processes_write_the_store_of_one(run_tool, phantoms, extract, tmp_path, monkeypatch):
    options = ("--num-gpus", 2, "--shard-size", 20, "--num-workers", 0, "--dtype", "float32")
    process = run_tool(*options)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert stdout.count("complete, 90 images; 90 embedded now") == 1
    records = phantom_records(phantoms, "png8", monkeypatch)
    folder = tmp_path / "out" / "phantom_film_val"
    expected = extract(records, shard_size=20, batch_size=32)
    manifests = [json.loads((x / "manifest.json").read_text()) for x in (folder, expected.folder)]
    for manifest in manifests:  # the last bits of embeddings depend on the number of threads
        del manifest["sha256"], manifest["prompts"]
    assert manifests[0] == manifests[1]
    store = ExpertStore(folder)
    store.check(records)
    for record in records:
        entry, wanted = store[record["image_id"]], expected[record["image_id"]]
        for name in ("image_embedding", "lesion_embeddings", "patch_grid"):
            np.testing.assert_allclose(getattr(entry, name), getattr(wanted, name), atol=1e-4)
