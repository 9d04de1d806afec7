import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode
from expert_stores import WHOLE, write_expert_store
from PIL import Image

from medmask.experts import DEFAULT_PROMPTS, ImageEmbeddings, StoreSettings, sign_file

DIM = 8


def _unit(random, *shape):
    values = random.normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def _annotation(x, y, width, height, iscrowd=0):
    return {
        "bbox": [x, y, width, height],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": 0,
        "iscrowd": iscrowd,
    }


@pytest.fixture
def records(tmp_path) -> list[dict]:
    """Seven images of 40 x 60; ids are integers and texts, two of which look alike."""
    folder = tmp_path / "images"
    folder.mkdir()
    records = []
    for number, image_id in enumerate([11, "11", 3, "mlo/left", 2**40, 0, 5]):
        path = folder / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (60, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        records.append(
            {
                "file_name": str(path),
                "image_id": image_id,
                "height": 60,
                "width": 40,
                # 0, 1, 2 lesions in turn; the second of two is a crowd
                "annotations": [
                    _annotation(5.5, 10, 12, 9.25 + number),
                    _annotation(20, 30, 10, 10, 1),
                ][: number % 3],
            }
        )
    return records


@pytest.fixture
def settings() -> StoreSettings:
    return StoreSettings(
        model="an expert",
        weights_sha256="0" * 64,
        embedding_dim=DIM,
        patch_grid=(2, 3, 5),
        logit_scale=12.5,
        preprocessing={"size": [16, 16], "mean": (0.5, 0.5, 0.5)},
        prompts=DEFAULT_PROMPTS,
    )


@pytest.fixture
def prompt_embeddings() -> np.ndarray:
    return _unit(np.random.default_rng(7), len(DEFAULT_PROMPTS.texts), DIM)


@pytest.fixture
def embed():
    """Embeds a record: values that differ from image to image, and are the same each time."""
    return _embed


def _embed(record: dict) -> ImageEmbeddings:
    signature = sign_file(record["file_name"])
    random = np.random.default_rng(signature.sha256[0])
    return ImageEmbeddings(
        signature=signature,
        image_embedding=_unit(random, DIM),
        lesion_embeddings=_unit(random, len(record["annotations"]), DIM),
        patch_grid=random.normal(size=(2, 3, 5)),
        view=WHOLE,
    )


@pytest.fixture
def write_store(tmp_path, settings, prompt_embeddings):
    """Writes, or brings up to date, a store of records in shards of three images."""

    def write(records: list[dict], folder: Path = tmp_path / "store", **options) -> Path:
        options = {"settings": settings, "prompt_embeddings": prompt_embeddings} | options
        return write_expert_store(folder, dataset_dicts=records, embed=_embed, **options)

    return write


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> Path:
    """A folder with a tiny CLIP of random weights, as open_clip's "local-dir:" reads it."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is not installed")
    folder = tmp_path_factory.mktemp("tiny_clip")
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    preprocessing = {"mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3]}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing})
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = open_clip.CLIP(**config)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder
