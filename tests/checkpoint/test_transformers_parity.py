"""Our detector computes what Hugging Face transformers' Deformable DETR does with its weights.

Weights are random, so nothing is downloaded; they go through a file and our converter.
"""

from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate

from medmask.checkpoint import convert_checkpoint, read_published_file
from medmask.modeling import MedMask

transformers = pytest.importorskip("transformers", reason="needs transformers (extra experts)")
pytest.importorskip("timm", reason="transformers' Deformable DETR has a backbone of timm")

MODEL = Path(__file__).parents[2] / "configs" / "common" / "models" / "medmask_r50.py"
SIZES = {"embed_dim": 64, "num_heads": 4, "feed_forward_dim": 96, "num_queries": 12}
SIZES |= {"num_encoder_layers": 2, "num_decoder_layers": 3, "num_classes": 5}
PLAIN, REFINED = {}, {"box_refinement": True}
TWO_STAGE = {"box_refinement": True, "two_stage": True}
BOX_OF_AN_IMAGE = {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.3, 0.2]])}


def make_theirs(box_refinement=False, two_stage=False, **options):
    """transformers' detector in evaluation mode, with random weights everywhere."""
    config = transformers.DeformableDetrConfig(
        backbone="resnet50",
        d_model=SIZES["embed_dim"],
        encoder_attention_heads=SIZES["num_heads"],
        decoder_attention_heads=SIZES["num_heads"],
        encoder_ffn_dim=SIZES["feed_forward_dim"],
        decoder_ffn_dim=SIZES["feed_forward_dim"],
        encoder_layers=SIZES["num_encoder_layers"],
        decoder_layers=SIZES["num_decoder_layers"],
        num_queries=SIZES["num_queries"],
        two_stage_num_proposals=SIZES["num_queries"],
        num_labels=SIZES["num_classes"],
        with_box_refine=box_refinement,
        two_stage=two_stage,
        auxiliary_loss=True,  # gives what every layer of the decoder predicts
        **options,
    )
    model = transformers.DeformableDetrForObjectDetection(config).eval()
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            if "backbone" not in name and not name.endswith("sampling_offsets.bias"):
                parameter += 0.1 * torch.randn_like(parameter)
        for name, parameter in model.named_parameters():
            if "_embed." in name:
                parameter.normal_(std=0.15)
        for name, buffer in model.named_buffers():
            if name.endswith(("weight", "bias", "running_mean", "running_var")):
                buffer.uniform_(0.4, 0.9)
    # The decoder has heads of its own in memory, which are copies of the model's.
    for name in ("class_embed", "bbox_embed"):
        if getattr(model.model.decoder, name) is not None:
            heads = getattr(model, name).state_dict()
            getattr(model.model.decoder, name).load_state_dict(heads)
    return model


def convert(theirs, folder, **options) -> MedMask:
    """Our detector with their weights, by way of a file."""
    theirs.save_pretrained(folder)
    config = LazyConfig.load(str(MODEL)).model
    config.transformer.update(SIZES | options)
    ours = instantiate(config).eval()
    weights = read_published_file(folder / "model.safetensors")
    conversion = convert_checkpoint(weights, ours.state_dict())
    assert not any((conversion.skipped, conversion.unexpected, conversion.warnings))
    ours.load_state_dict(conversion.state_dict, strict=True)
    return ours


@pytest.fixture
def images():
    """Two images of different sizes as a batch of ours, so that there is padding."""
    return [
        {"image": torch.randint(0, 256, (3, *size), dtype=torch.uint8)}
        for size in ((150, 204), (193, 128))
    ]


@pytest.mark.parametrize(
    ("options", "their_options"),
    [(PLAIN, {}), (REFINED, {}), (REFINED, {"tie_word_embeddings": False}), (TWO_STAGE, {})],
    ids=["plain", "box refinement", "box refinement, heads of their own", "two-stage"],
)
def test_logits_and_boxes_of_all_layers_agree(options, their_options, images, tmp_path):
    theirs = make_theirs(**options, **their_options)
    ours = convert(theirs, tmp_path, **options)
    batch = ours.preprocess_image(images)
    valid = torch.zeros(len(images), *batch.tensor.shape[-2:], dtype=torch.int64)
    for mask, (height, width) in zip(valid, batch.image_sizes, strict=True):
        mask[:height, :width] = 1
    with torch.no_grad():
        output = ours.detect(batch)
        expected = theirs(batch.tensor, valid, labels=[BOX_OF_AN_IMAGE] * len(images))
    layers = [*expected.auxiliary_outputs, expected]
    logits, boxes = (
        torch.stack([layer[key] for layer in layers]) for key in ("logits", "pred_boxes")
    )
    assert logits.shape == (3, 2, 12, 5)
    assert logits.std() > 0.1
    assert boxes.std() > 0.05
    torch.testing.assert_close(output.decoder.logits, logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(output.decoder.boxes, boxes, rtol=0, atol=1e-4)


def test_names_in_memory_are_read_as_those_in_a_file(tmp_path):
    theirs = make_theirs(**TWO_STAGE)
    ours = convert(theirs, tmp_path, **TWO_STAGE).state_dict()
    conversion = convert_checkpoint(theirs.state_dict(), ours)
    assert conversion.is_complete
    assert not any((conversion.skipped, conversion.unexpected, conversion.warnings))
    assert all(torch.equal(x, ours[name]) for name, x in conversion.state_dict.items())
