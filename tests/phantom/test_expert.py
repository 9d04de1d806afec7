import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medmask.errors import InputError
from medmask.experts import DEFAULT_PROMPTS
from medmask.experts.open_clip_expert import OpenClipExpert
from medmask.experts.preprocessing import lesion_crop
from medmask.phantom import PhantomParameters, generate_patient
from medmask.phantom import expert as phantom_expert
from medmask.phantom.expert import contrastive_loss, train_phantom_expert
from medmask.phantom.expert_crops import CAPTIONS, FINDINGS, NORMAL, PhantomCrops
from medmask.phantom.options import PhantomExpertSettings

SMALL = PhantomExpertSettings(patients=2, test_patients=2, steps=3, batch_size=8)


@pytest.fixture(scope="module")
def crops():
    return PhantomCrops(PhantomParameters(seed=1000), "val", 2)


def test_a_set_of_its_own():
    assert PhantomExpertSettings().seed != PhantomParameters().seed


def test_prompts_are_among_the_captions():
    groups = DEFAULT_PROMPTS.to_groups()
    normal = set(CAPTIONS["normal"])
    malignant = {text for finding in FINDINGS[:NORMAL] for text in CAPTIONS[finding]}
    assert normal.issuperset(groups["normal"])
    assert malignant.issuperset(groups["malignant"])


def test_lesions_are_cut_out_as_a_store_does(crops):
    parameters = PhantomParameters(seed=1000)
    found = iter(crops.lesions(2.0))
    for domain in ("film", "ffdm"):
        for index in range(2):
            for image in generate_patient(parameters, domain, "val", index).images:
                for lesion in image.lesions:
                    x, y, width, height = lesion.box
                    pixels = image.quantized(8)
                    expected = lesion_crop(pixels, (x, y, x + width, y + height), 2.0)
                    crop = next(found)
                    assert FINDINGS[crop.finding] == lesion.lesion_type
                    assert crop.pixels.shape == (*expected.shape, 3)
                    assert np.array_equal(crop.pixels[:, :, 1], expected)
    assert next(found, None) is None


def test_normal_tissue_holds_no_lesion(crops):
    """Lesions are painted with a value that no image has; no tissue may show it."""
    for scene in crops._scenes:
        scene.pixels[scene.pixels == 255] = 254
    original = [scene.pixels.copy() for scene in crops._scenes]
    for scene in crops._scenes:
        for x0, y0, x1, y1 in scene.boxes.astype(int):
            scene.pixels[y0:y1, x0:x1] = 255
    tissue = crops.tissue(200, 2.0, np.random.default_rng(0))
    for scene, pixels in zip(crops._scenes, original, strict=True):
        scene.pixels[:] = pixels
    assert {crop.finding for crop in tissue} == {NORMAL}
    assert max(crop.pixels.max() for crop in tissue) < 255
    assert np.mean([crop.pixels.mean() for crop in tissue]) > 60  # in the breast, not beside it


def test_crops_for_training_are_a_mixture_and_depend_on_the_seed_alone(crops):
    draws = [[crops.draw(2.0, random) for _ in range(60)] for random in map(_random, (0, 0, 1))]
    first, again, other = ([crop.pixels for crop in drawn] for drawn in draws)
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))
    sizes = [max(pixels.shape) for pixels in first]
    assert 0.2 < np.mean(np.array(sizes) == 256) < 0.6
    normal = np.mean([crop.finding == NORMAL for crop in draws[0]])
    assert 0.3 < normal < 0.8


def _random(seed):
    return np.random.default_rng(seed)


def test_too_few_patients():
    with pytest.raises(InputError, match="none of 0 val patients has a lesion"):
        PhantomCrops(PhantomParameters(seed=1000), "val", 0)


def test_what_cannot_be_measured_or_written_is_told_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom_expert, "_train", lambda *_: pytest.fail("it has begun to train"))
    with pytest.raises(InputError, match="none of 1 val patients has a lesion"):
        train_phantom_expert(tmp_path, PhantomExpertSettings(0, 1, test_patients=1))
    monkeypatch.setattr(PhantomCrops, "whole_images", lambda crops: crops.lesions(2.0))
    with pytest.raises(InputError, match="every image of 2 val patients has a lesion"):
        train_phantom_expert(tmp_path, SMALL)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        train_phantom_expert(tmp_path / "file", SMALL)


def test_loss_is_clips_where_each_image_has_one_text():
    images, texts = F.normalize(torch.randn(2, 4, 8), dim=-1)
    labels = torch.arange(4)
    logits = 5.0 * images @ texts.T
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    loss = contrastive_loss(images, texts, torch.eye(4, dtype=torch.bool), torch.tensor(5.0))
    torch.testing.assert_close(loss, expected)


def test_loss_is_zero_where_all_matches_are_alike_and_the_rest_is_far():
    directions = torch.eye(8)
    images = directions[[0, 0, 1]]
    texts = directions[[0, 1, 1, 5]]  # the last text belongs to a finding that is not in the batch
    matches = torch.tensor([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.bool)
    assert contrastive_loss(images, texts, matches, torch.tensor(50.0)) < 1e-4
    assert contrastive_loss(images[[2, 0, 1]], texts, matches, torch.tensor(50.0)) > 10


def test_training_writes_what_real_weights_consist_of(tmp_path):
    report = train_phantom_expert(tmp_path / "first", SMALL)
    assert json.loads((tmp_path / "first" / "zero_shot.json").read_text()) == report
    assert set(report["lesion_crops"]) == {"balanced_accuracy", "malignant", "normal"}
    assert report["lesion_crops"]["malignant"]["count"] == report["lesion_crops"]["normal"]["count"]
    assert report["whole_images"]["normal"]["count"] > 0
    assert report["parameters"]["vision"] < 500_000
    state = torch.load(tmp_path / "first" / "open_clip_pytorch_model.bin", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())

    expert = OpenClipExpert(f"local-dir:{tmp_path / 'first'}")
    assert expert.preprocessing == phantom_expert.preprocessing()
    assert expert.patch_grid is not None
    train_phantom_expert(tmp_path / "second", SMALL)
    again = OpenClipExpert(f"local-dir:{tmp_path / 'second'}")
    assert again.weights_sha256 == expert.weights_sha256


def test_training_brings_lesions_and_their_texts_together(crops):
    """A few dozen steps on crops alone; the tool's own report is about a whole training."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is not installed")
    torch.manual_seed(0)
    model = open_clip.CLIP(**phantom_expert.MODEL_CONFIG)
    tokens = open_clip.SimpleTokenizer(context_length=20)(
        [text for texts in CAPTIONS.values() for text in texts]
    )
    settings = PhantomExpertSettings(steps=12, batch_size=16)
    before = _loss(model, tokens, crops)
    phantom_expert._train(model, tokens, crops, settings)
    assert _loss(model, tokens, crops) < 0.8 * before


def _loss(model, tokens, crops):
    prepare = phantom_expert.preprocessing()
    random = _random(5)
    lesions = crops.lesions(2.0)
    batch = lesions + crops.tissue(len(lesions), 2.0, random)
    findings = torch.tensor([FINDINGS.index(f) for f, texts in CAPTIONS.items() for _ in texts])
    with torch.no_grad():
        return contrastive_loss(
            model.encode_image(torch.stack([prepare(crop.pixels) for crop in batch]), True),
            model.encode_text(tokens, True),
            torch.tensor([crop.finding for crop in batch])[:, None] == findings,
            model.logit_scale.exp(),
        )


@pytest.mark.parametrize("name", ["patients", "test_patients", "steps", "batch_size"])
def test_settings_out_of_range(name):
    with pytest.raises(InputError, match=f"{name} is 0"):
        PhantomExpertSettings(**{name: 0})


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seed_out_of_range(seed):
    with pytest.raises(InputError, match=f"seed is {seed}: give 0 to"):
        PhantomExpertSettings(seed=seed)
