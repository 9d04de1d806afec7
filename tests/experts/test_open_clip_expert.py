import json
import shutil
import sys

import numpy as np
import pytest
import torch

from medmask.errors import InputError
from medmask.experts import open_clip_expert
from medmask.experts.open_clip_expert import OpenClipExpert
from medmask.experts.options import BIOMED_CLIP
from medmask.experts.weights_hash import hash_weights

open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is not installed")


@pytest.fixture(scope="module")
def expert(tiny_clip):
    return OpenClipExpert(f"local-dir:{tiny_clip}")


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32)


def test_folder_of_config_and_weights(expert, tiny_clip, images):
    assert expert.embedding_dim == 16
    assert expert.patch_grid == (4, 4, 32)
    assert expert.preprocessing.size == (32, 32)
    assert expert.preprocessing.mean == (0.4, 0.4, 0.4)
    assert expert.logit_scale == pytest.approx(1 / 0.07)
    model = open_clip.create_model(f"local-dir:{tiny_clip}").eval()
    with torch.no_grad():
        expected = model.encode_image(images, normalize=True)
        texts = model.encode_text(open_clip.tokenize(["a mass", "a cyst"], 16), normalize=True)
    np.testing.assert_allclose(expert.encode_images(images), expected, atol=1e-6)
    np.testing.assert_allclose(expert.encode_texts(["a mass", "a cyst"]), texts, atol=1e-6)


def test_embeddings_have_length_one(expert, images):
    for embeddings in (expert.encode_images(images), expert.encode_texts(["one", "two"])):
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)


def test_patches_come_with_the_same_embeddings(expert, images):
    embeddings, patches = expert.encode_images_and_patches(images)
    assert patches.shape == (3, 4, 4, 32)
    np.testing.assert_allclose(embeddings, expert.encode_images(images), atol=1e-6)
    # the tokens of the ViT are rows of the grid: a change in the upper left patch shows there most
    changed = images.clone()
    changed[:, :, :8, :8] += 3
    difference = np.abs(expert.encode_images_and_patches(changed)[1] - patches).mean(axis=(0, 3))
    assert difference.argmax() == 0
    changed = images.clone()
    changed[:, :, 8:16, 24:] += 3
    difference = np.abs(expert.encode_images_and_patches(changed)[1] - patches).mean(axis=(0, 3))
    assert np.unravel_index(difference.argmax(), (4, 4)) == (1, 3)


def test_tower_without_patch_tokens(tiny_clip, images, monkeypatch):
    def forward_intermediates(*args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(
        open_clip.transformer.VisionTransformer, "forward_intermediates", forward_intermediates
    )
    expert = OpenClipExpert(f"local-dir:{tiny_clip}")
    assert expert.patch_grid is None
    assert expert.encode_images(images).shape == (3, 16)


def test_checkpoint_file_replaces_the_weights_of_the_folder(tiny_clip, expert, images, tmp_path):
    state = torch.load(tiny_clip / "open_clip_pytorch_model.bin", weights_only=True)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "same.pt")
    same = OpenClipExpert(f"local-dir:{tiny_clip}", str(tmp_path / "same.pt"))
    assert same.weights_sha256 == expert.weights_sha256
    assert np.array_equal(same.encode_images(images), expert.encode_images(images))
    state["visual.proj"] = -state["visual.proj"]
    torch.save(state, tmp_path / "other.pt")
    other = OpenClipExpert(f"local-dir:{tiny_clip}", str(tmp_path / "other.pt"))
    assert other.weights_sha256 != expert.weights_sha256
    np.testing.assert_allclose(
        other.encode_images(images), -expert.encode_images(images), atol=1e-6
    )


def test_checkpoint_of_another_model(tiny_clip, tmp_path):
    state = torch.load(tiny_clip / "open_clip_pytorch_model.bin", weights_only=True)
    state["visual.proj"] = state["visual.proj"][:, :4]
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt and the model .* do not fit .*visual\.proj"):
        OpenClipExpert(f"local-dir:{tiny_clip}", str(tmp_path / "other.pt"))


def test_checkpoint_that_could_run_code_is_refused(tiny_clip, tmp_path):
    torch.save({"state_dict": {}, "hook": print}, tmp_path / "code.pt")
    with pytest.raises(InputError, match=r"cannot be loaded from checkpoint .*code\.pt"):
        OpenClipExpert(f"local-dir:{tiny_clip}", str(tmp_path / "code.pt"))


def test_tokenizer_that_would_run_code_is_refused(tiny_clip, tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    shutil.copytree(tiny_clip, tmp_path, dirs_exist_ok=True)
    content = json.loads((tmp_path / "open_clip_config.json").read_text())
    content["model_cfg"]["text_cfg"] |= {
        "hf_tokenizer_name": "someone/some-bert",
        "tokenizer_kwargs": {"trust_remote_code": True},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    names = {"auto_map": {"AutoTokenizer": ["code.Own", "code.Own"]}, "tokenizer_class": "Own"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "code.py").write_text(
        f"from transformers import BertTokenizerFast as Own\nopen({str(tmp_path / 'ran')!r}, 'w')\n"
    )
    with pytest.raises(InputError, match=r"run code .*tokenizer_kwargs\.trust_remote_code in its "):
        OpenClipExpert(f"local-dir:{tmp_path}")
    assert not (tmp_path / "ran").exists()


def test_damaged_checkpoint(tiny_clip, tmp_path):
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(InputError, match=r"cannot be loaded from checkpoint .*cut\.pt"):
        OpenClipExpert(f"local-dir:{tiny_clip}", str(tmp_path / "cut.pt"))


@pytest.mark.parametrize(
    ("name", "checkpoint", "message"),
    [
        ("ViT-B-32", None, r"'ViT-B-32' needs a checkpoint, .* \(openai, .*none was given"),
        ("ViT-B-32", "nobody", "needs a checkpoint, .*: 'nobody' is neither"),
        ("ViT-Z-1", None, "open_clip has no model 'ViT-Z-1'"),
        ("local-dir:/nowhere", None, "cannot be loaded .*not found"),
        (BIOMED_CLIP, "weights.pt", r"checkpoint weights\.pt does not exist"),
    ],
)
def test_what_is_not_there(name, checkpoint, message):
    with pytest.raises(InputError, match=message):
        OpenClipExpert(name, checkpoint)


def test_folder_without_weights_is_not_run_with_random_ones(tiny_clip, tmp_path):
    config = (tiny_clip / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(config)
    with pytest.raises(InputError, match="cannot be loaded from the weights"):
        OpenClipExpert(f"local-dir:{tmp_path}")


def test_hub_out_of_reach(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=f"'{BIOMED_CLIP}' cannot be fetched .*local-dir:FOLDER"):
        OpenClipExpert(BIOMED_CLIP)


def test_without_open_clip(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(InputError, match="pip install open_clip_torch"):
        open_clip_expert.import_open_clip()


def test_towers_as_biomedclip_has_them(monkeypatch, tmp_path):
    """A ViT of timm and a BERT with its own tokenizer, all from a folder, without the hub."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "malignant", "normal", "tissue"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    ).save_pretrained(tmp_path)
    config = {
        "embed_dim": 8,
        "vision_cfg": {
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 224,
        },
        "text_cfg": {
            "hf_model_name": str(tmp_path),
            "hf_tokenizer_name": str(tmp_path),
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 12,
        },
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    name = f"local-dir:{tmp_path}"
    model = open_clip.create_model(name, load_weights=False, pretrained_text=False)
    torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    text_config = config["text_cfg"]
    text_config["hf_model_name"] = text_config["hf_tokenizer_name"] = "someone/some-bert"
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    expert = OpenClipExpert(name)
    assert expert.weights_sha256 == hash_weights(model)
    assert expert.embedding_dim == 8
    assert expert.patch_grid == (14, 14, 192)
    texts = expert.encode_texts(["malignant tissue", "normal tissue"])
    assert not np.allclose(texts[0], texts[1])
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"copy the config\.json of someone/some-bert into the"):
        OpenClipExpert(name)
