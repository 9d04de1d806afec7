"""Experts in the names that their publishers gave to the weights, as docs/extending.md tells.

The networks are small ones of the same kinds, with random weights.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from medmask.experts.expert import load_expert

timm = pytest.importorskip("timm", reason="timm is not installed")

EXTENDING = Path(__file__).parents[2] / "docs" / "extending.md"
SIZE = (112, 224)  # multiples of 14 and 16

DAVIT = {  # of timm -> of MedImageInsight's image encoder
    r"^stem\.conv": "convs.0.proj",
    r"^stem\.norm": "convs.0.norm",
    r"^stages\.(\d+)\.downsample\.conv": r"convs.\1.proj",
    r"^stages\.(\d+)\.downsample\.norm": r"convs.\1.norm",
    r"^stages\.(\d+)\.blocks\.": r"blocks.\1.",
    r"^head\.norm": "norms",
    r"cpe(\d)\.proj": r"conv\1.fn.dw",
    r"norm2\.": "ffn.norm.",
    r"mlp\.": "ffn.fn.net.",
    r"spatial_block\.norm1\.": "spatial_block.window_attn.norm.",
    r"spatial_block\.attn\.": "spatial_block.window_attn.fn.",
    r"channel_block\.norm1\.": "channel_block.channel_attn.norm.",
    r"channel_block\.attn\.": "channel_block.channel_attn.fn.",
}
FOCALNET = {  # of timm -> of BiomedParse's backbone
    r"^stem\.": "patch_embed.",
    r"^norm\.": "norm3.",
    r"(norm\d)_post": r"\1",
    r"ls(\d)\.gamma": r"gamma_\1",
}


def recipe():
    """The functions of the page."""
    text = EXTENDING.read_text(encoding="utf-8")
    (code,) = (x for x in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "part_of" in x)
    names = {}
    exec(compile(code, str(EXTENDING), "exec"), names)
    return names


def have_small_one(monkeypatch, name, create, **options):
    """Have timm make a small network by the name of a large one; returns the function."""

    def make(pretrained=False, **more):
        return create(pretrained=pretrained, **{**options, **more})

    monkeypatch.setitem(timm.models._registry._model_entrypoints, name, make)
    return make


def with_random_weights(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5)
    return model.eval()


def renamed(name, names):
    for pattern, replacement in names.items():
        name = re.sub(pattern, replacement, name)
    return name


def as_medimageinsight(model):
    weights = {renamed(name, DAVIT): value for name, value in model.state_dict().items()}
    assert "blocks.1.0.channel_block.channel_attn.fn.qkv.weight" in weights
    return {f"image_encoder.{name}": value for name, value in weights.items()}


def as_biomedparse(model):
    weights = {"norm0.weight": torch.ones(8)}  # of the finer maps, which timm does not have
    for name, value in model.state_dict().items():
        number = re.match(r"layers\.(\d)\.downsample", name)
        if number:
            name = name.replace(number[1], str(int(number[1]) - 1), 1)
        if re.search(r"modulation\.(f|proj)\.weight|mlp\.fc\d\.weight", name):
            value = value[:, :, 0, 0]  # a linear layer there
        weights[renamed(name, FOCALNET)] = value
    assert weights["layers.0.blocks.0.modulation.f.weight"].dim() == 2
    return {f"backbone.{name}": value for name, value in weights.items()}


def check(expert, model):
    """Compare an expert with the network as published."""
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model(images))
    embeddings, patches = expert.encode_images_and_patches(images)
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    assert np.abs(embeddings[0] - embeddings[1]).max() > 1e-4
    assert np.abs(patches[0] - patches[1]).max() > 1e-4


def save(weights, path):
    torch.save({**weights, "lang_encoder.positional_embedding": torch.zeros(3)}, path)


def test_medimageinsight(monkeypatch, tmp_path):
    make = have_small_one(
        monkeypatch,
        "davit_huge_fl",
        timm.models.davit.davit_huge_fl,
        depths=(1, 1, 1, 1),
        embed_dims=(8, 16, 32, 64),
        num_heads=(1, 2, 4, 8),
    )
    model = with_random_weights(make(num_classes=0))
    save(as_medimageinsight(model), tmp_path / "published.pt")
    recipe()["save_medimageinsight"](tmp_path / "published.pt", tmp_path / "weights.pth")
    expert = load_expert("timm://davit_huge_fl", str(tmp_path / "weights.pth"), image_size=SIZE)
    check(expert, model)


def test_biomedparse(monkeypatch, tmp_path):
    make = have_small_one(
        monkeypatch,
        "focalnet_large_fl4",
        partial(timm.models.focalnet._create_focalnet, "focalnet_large_fl4"),
        depths=[1, 1, 1, 1],
        embed_dim=8,
        focal_levels=[4] * 4,
        use_post_norm=True,
        use_overlap_down=True,
        layerscale_value=1e-4,
    )
    model = with_random_weights(make(num_classes=0, normalize_modulator=True))
    save(as_biomedparse(model), tmp_path / "published.pt")
    recipe()["save_biomedparse"](tmp_path / "published.pt", tmp_path / "weights.pth")
    weights = str(tmp_path / "weights.pth")
    check(load_expert("timm://focalnet_large_fl4", weights, image_size=SIZE), model)


def test_dinov2_with_registers(monkeypatch, tmp_path):
    name = "vit_base_patch14_reg4_dinov2"
    network = timm.models.vision_transformer.vit_base_patch14_reg4_dinov2
    options = {"embed_dim": 24, "depth": 1, "num_heads": 2}
    make = have_small_one(monkeypatch, name, network, **options)
    model = with_random_weights(make(num_classes=0, dynamic_img_size=True))
    weights = dict(model.state_dict())
    weights["register_tokens"] = weights.pop("reg_token")
    weights["mask_token"] = torch.zeros(1, 24)
    of_class = torch.randn(1, 1, 24)  # published, the class token has a position
    weights["cls_token"] = weights["cls_token"] - of_class
    weights["pos_embed"] = torch.cat((of_class, weights["pos_embed"]), dim=1)
    torch.save(weights, tmp_path / "weights.pth")
    check(load_expert(f"timm://{name}", str(tmp_path / "weights.pth"), image_size=SIZE), model)


def test_dinov3(monkeypatch, tmp_path, capsys):
    name = "vit_base_patch16_dinov3"
    network = timm.models.eva.vit_base_patch16_dinov3
    options = {"embed_dim": 32, "depth": 1, "num_heads": 2}
    make = have_small_one(monkeypatch, name, network, **options)
    model = with_random_weights(make(num_classes=0, dynamic_img_size=True))
    weights = {
        renamed(name, {"reg_token": "storage_tokens", r"gamma_(\d)": r"ls\1.gamma"}): value
        for name, value in model.state_dict().items()
    }
    weights["mask_token"] = torch.zeros(1, 32)
    weights["rope_embed.periods"] = torch.ones(4)
    weights["blocks.0.attn.qkv.bias"] = torch.zeros(96)
    weights["blocks.0.attn.qkv.bias_mask"] = torch.ones(96)
    torch.save(weights, tmp_path / "weights.pth")
    check(load_expert(f"timm://{name}", str(tmp_path / "weights.pth"), image_size=SIZE), model)
    assert capsys.readouterr().out == ""  # timm prints which biases it passes over
