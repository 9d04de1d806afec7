"""An expert in miniature: a tiny CLIP, trained in minutes on generated phantoms.

It stands in for a foundation model in the phantom benchmark and in demonstrations, where no hub is
in reach: like one it was trained elsewhere, on images and captions, and has seen no image of the
benchmark (the phantoms that it learns from have another seed). It is written in open_clip's own
form, and loads as real weights do.
"""

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from medmask.errors import InputError
from medmask.experts import DEFAULT_PROMPTS, PromptEmbeddings
from medmask.experts.open_clip_expert import OpenClipExpert, import_open_clip
from medmask.experts.preprocessing import ExpertPreprocessing
from medmask.phantom.expert_crops import CAPTIONS, FINDINGS, NORMAL, PhantomCrop, PhantomCrops
from medmask.phantom.options import PhantomExpertSettings, PhantomParameters
from medmask.utils.files import atomic_write, check_output_folder
from medmask.utils.json_files import write_json
from medmask.utils.progress import Progress

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 96, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
    "text_cfg": {
        "context_length": 20,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}
PREPROCESS_CONFIG = {"mean": [0.3] * 3, "std": [0.25] * 3, "interpolation": "bilinear"}

_CONFIG_FILE, _WEIGHTS_FILE = "open_clip_config.json", "open_clip_pytorch_model.bin"
REPORT_FILE = "zero_shot.json"


def train_phantom_expert(output: Path, settings: PhantomExpertSettings) -> dict[str, Any]:
    """Train an expert and write it as a folder that "local-dir:<output>" loads.

    Args:
        output: the folder; files of an earlier run in it are replaced.
        settings: options.

    Returns:
        The report, see :func:`measure_zero_shot`, which is also written to ``zero_shot.json``.

    Raises:
        InputError: open_clip is not installed, or there are too few patients to have a lesion, or
            an image without.
        OSError: the folder cannot be written.
    """
    open_clip = import_open_clip()
    check_output_folder(output)
    start = time.perf_counter()
    parameters = PhantomParameters(seed=settings.seed)
    test_crops = make_test_crops(settings)  # before the work that it may put an end to
    crops = PhantomCrops(parameters, "train", settings.patients, show_progress=True)
    torch.manual_seed(settings.seed)
    model = open_clip.CLIP(**MODEL_CONFIG)
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    captions = [caption for texts in CAPTIONS.values() for caption in texts]
    _train(model, tokenizer(captions), crops, settings)
    _write(output, model)
    seconds = time.perf_counter() - start
    report = {
        "settings": asdict(settings),
        "seconds": round(seconds, 1),
        "parameters": _count_parameters(model),
        **measure_zero_shot(OpenClipExpert(f"local-dir:{output}"), test_crops, settings),
    }
    write_json(output / REPORT_FILE, report)
    return report


def preprocessing() -> ExpertPreprocessing:
    """Build the preprocessing that the model is trained with."""
    size = MODEL_CONFIG["vision_cfg"]["image_size"]
    return ExpertPreprocessing.from_open_clip({"size": size, **PREPROCESS_CONFIG})


def _train(
    model: Any, captions: torch.Tensor, crops: PhantomCrops, settings: PhantomExpertSettings
) -> None:
    """Train in place.

    Args:
        model: an open_clip CLIP.
        captions: (K, L) tokens of all captions.
        crops: the images to draw from.
        settings: options.
    """
    random = np.random.default_rng(settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.05)
    findings_of_captions = torch.tensor(
        [FINDINGS.index(finding) for finding, texts in CAPTIONS.items() for _ in texts]
    )
    prepare = preprocessing()
    model.train()
    with Progress("training", settings.steps, "step") as progress:
        for step in range(settings.steps):
            batch = [crops.draw(settings.crop_context, random) for _ in range(settings.batch_size)]
            images = torch.stack([prepare(crop.pixels) for crop in batch])
            findings = torch.tensor([crop.finding for crop in batch])
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step / settings.steps)
            loss = contrastive_loss(
                model.encode_image(images, normalize=True),
                model.encode_text(captions, normalize=True),
                findings[:, None] == findings_of_captions,
                model.logit_scale.exp(),
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=math.log(30.0))  # sharper ones overfit so few captions
            progress.advance(note=f"loss {loss.item():.3f}")
    model.eval()


def _schedule(progress: float) -> float:
    """Warm-up over a twentieth, then a cosine to 0; progress and result in [0, 1]."""
    if progress < 0.05:
        return progress / 0.05
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))


def contrastive_loss(
    images: torch.Tensor, texts: torch.Tensor, matches: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """CLIP's symmetric loss where several texts fit an image (and several images a text).

    As in CLIP each image is to be told which texts are its own and each text which images; its
    target is spread evenly over all that match, since there are few captions and many images.

    Args:
        images: (B, D), length 1.
        texts: (K, D), length 1.
        matches: (B, K) bool; every row has a match.
        scale: factor from cosine similarity to logit.

    Returns:
        The mean of the two directions, each a Kullback-Leibler divergence: 0 at best. Texts without
        an image in the batch do not count.
    """
    logits = scale * images @ texts.T
    present = matches.any(dim=0)
    return (_divergence(logits, matches) + _divergence(logits.T[present], matches.T[present])) / 2


def _divergence(logits: torch.Tensor, matches: torch.Tensor) -> torch.Tensor:
    """Mean over the rows, from evenly spread targets to softmax(logits); both (R, C)."""
    counts = matches.sum(dim=1, keepdim=True)
    return F.cross_entropy(logits, matches / counts) - counts.log().mean()


def _write(output: Path, model: nn.Module) -> None:
    with atomic_write(output / _WEIGHTS_FILE) as file:
        torch.save(model.state_dict(), file)
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    write_json(output / _CONFIG_FILE, config)


def _count_parameters(model: Any) -> dict[str, int]:
    vision = sum(p.numel() for p in model.visual.parameters())
    vocabulary = model.token_embedding.weight.numel()
    total = sum(p.numel() for p in model.parameters())
    return {"vision": vision, "text": total - vision - vocabulary, "vocabulary": vocabulary}


def make_test_crops(settings: PhantomExpertSettings) -> PhantomCrops:
    """Make the phantoms to measure on.

    Raises:
        InputError: none has a lesion, or all have one.
    """
    crops = PhantomCrops(PhantomParameters(seed=settings.seed), "val", settings.test_patients)
    if all(crop.finding != NORMAL for crop in crops.whole_images()):
        raise InputError(
            f"every image of {settings.test_patients} val patients has a lesion: give more patients"
        )
    return crops


def measure_zero_shot(
    expert: OpenClipExpert, crops: PhantomCrops, settings: PhantomExpertSettings
) -> dict[str, Any]:
    """Zero-shot classification, by the default prompts, of phantoms that were not trained on.

    Args:
        expert: any expert.
        crops: of :func:`make_test_crops`.
        settings: of these.

    Returns:
        ``lesion_crops``: recall of "malignant" on crops of lesions, recall of "normal" on as many
        crops of other tissue, and their mean, the balanced accuracy. ``whole_images``: the same for
        images with and without a lesion.
    """
    lesions = crops.lesions(settings.crop_context)
    random = np.random.default_rng(settings.seed)
    tissue = crops.tissue(len(lesions), settings.crop_context, random)
    return {
        "lesion_crops": _classify(expert, lesions + tissue),
        "whole_images": _classify(expert, crops.whole_images()),
    }


def _classify(expert: OpenClipExpert, crops: list[PhantomCrop]) -> dict[str, Any]:
    embeddings = expert.encode_texts(DEFAULT_PROMPTS.texts)
    prompts = PromptEmbeddings.of(DEFAULT_PROMPTS, embeddings, expert.logit_scale)
    images = torch.stack([expert.preprocessing(crop.pixels) for crop in crops])
    embeddings = np.concatenate([expert.encode_images(part) for part in images.split(64)])
    malignant = prompts.class_names.index("malignant")
    called = prompts.assign(embeddings).argmax(axis=1) == malignant
    is_malignant = np.array([crop.finding != NORMAL for crop in crops])
    recalls = float(called[is_malignant].mean()), float(1 - called[~is_malignant].mean())
    return {
        "balanced_accuracy": round(sum(recalls) / 2, 4),
        "malignant": {"recall": round(recalls[0], 4), "count": int(is_malignant.sum())},
        "normal": {"recall": round(recalls[1], 4), "count": int((~is_malignant).sum())},
    }
