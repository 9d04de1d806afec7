"""Pseudo labels and discriminators against values of a public implementation."""

import pytest
import torch
from torch.testing import assert_close

from medmask.stages.domain_adversarial.discriminators import DomainDiscriminators, domain_loss
from medmask.stages.mean_teacher.pseudo_labels import select_pseudo_labels

TOLERANCE = {"rtol": 0, "atol": 1e-4}
SOURCE = 0
PREFIXES = {
    "domain_pred_bac.": "backbone.",
    "domain_pred_enc.": "encoder.",
    "domain_pred_dec.": "decoder.",
}


@pytest.fixture(scope="module")
def output(reference_model, reference_images):
    with torch.no_grad():
        return reference_model.detect(reference_images)


@pytest.fixture(scope="module")
def logits(reference, output):
    meta = reference["meta"]
    discriminators = DomainDiscriminators(
        backbone_channels=meta["backbone_channels"][-1],
        embed_dim=meta["hidden_dim"],
        num_levels=meta["num_feature_levels"],
    )
    weights = {
        ours + name.removeprefix(theirs): value
        for name, value in reference["state_dict"].items()
        for theirs, ours in PREFIXES.items()
        if name.startswith(theirs)
    }
    discriminators.load_state_dict(weights, strict=True)
    no_paddings = [
        torch.zeros_like(x) for x in output.tokens.split_levels(output.tokens.padding_mask)
    ]
    coarsest = len(reference["features"]) - 1
    with torch.no_grad():
        return discriminators(
            reference["features"][-1],
            output.tokens.split_levels(output.memory),
            output.decoder.queries,
            backbone_padding=no_paddings[coarsest],
            memory_paddings=no_paddings,
        )


def test_discriminators_say_the_same(reference, logits):
    assert_close(logits.backbone, reference["domain_backbone"], **TOLERANCE)
    assert_close(logits.encoder, reference["domain_encoder"][:, 0], **TOLERANCE)
    assert_close(logits.decoder, reference["domain_decoder"][:, 0], **TOLERANCE)


def test_domain_losses_are_the_same(reference, logits):
    """The reference judges padding, too, as a part of the image."""
    losses = [domain_loss(x, SOURCE) for x in (logits.backbone, logits.encoder, logits.decoder)]
    names = ("loss_domain_bac", "loss_domain_enc", "loss_domain_dec")
    for loss, name in zip(losses, names, strict=True):
        assert_close(loss, reference["losses"][name], **TOLERANCE)
    backbone, encoder, decoder = losses
    total = encoder + decoder + reference["meta"]["loss_weights"]["domain_bac"] * backbone
    assert_close(total, reference["losses"]["loss_domain"], **TOLERANCE)


def test_pseudo_labels_are_the_same(reference, output):
    thresholds = torch.full((reference["meta"]["num_classes"],), 0.01)
    found = select_pseudo_labels(output.decoder.logits[-1], output.decoder.boxes[-1], thresholds)
    for ours, theirs in zip(found, reference["pseudo_labels_at_0.01"], strict=True):
        assert_close(ours.scores, theirs["scores"], **TOLERANCE)
        assert_close(ours.boxes, theirs["boxes"], **TOLERANCE)
        assert torch.equal(ours.labels, theirs["labels"])
