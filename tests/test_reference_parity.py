"""Same weights in, same numbers out: the detector against values of a public implementation."""

import os
from pathlib import Path

import pytest
import torch
from detectron2.modeling import Backbone
from detectron2.structures import ImageList
from torch.testing import assert_close

from medmask.checkpoint import convert_checkpoint
from medmask.modeling import (
    DeformableTransformer,
    DetectionCriterion,
    DetectionTarget,
    HungarianMatcher,
    MatchingCost,
    MedMask,
    MultiScaleNeck,
)
from medmask.modeling.detections import select_detections
from medmask.modeling.multi_scale_tokens import make_padding_mask

TOLERANCE = {"rtol": 0, "atol": 1e-4}
SHARED_FILE = Path(__file__).parents[1] / ".." / "shared" / "golden" / "reference_detector.pt"


class GivenFeatures(Backbone):
    """A backbone whose maps are known."""

    def __init__(self, maps):
        super().__init__()
        self.maps = {f"map{i}": m for i, m in enumerate(maps)}

    def forward(self, image):
        return self.maps


@pytest.fixture(scope="module")
def reference():
    named = os.environ.get("MEDMASK_GOLDEN")
    if not named and not SHARED_FILE.exists():
        pytest.skip(f"no reference values: {SHARED_FILE} is absent and MEDMASK_GOLDEN is not set")
    return torch.load(named or SHARED_FILE, weights_only=True)


@pytest.fixture(scope="module")
def model(reference):
    meta, published = reference["meta"], reference["state_dict"]
    num_samples = len(published["transformer.encoder.layers.0.self_attn.attention_weights.bias"])
    weights = meta["loss_weights"]
    cost = MatchingCost(weights["class"], weights["boxes"], weights["giou"])
    backbone = GivenFeatures(reference["features"])
    model = MedMask(
        backbone=backbone,
        neck=MultiScaleNeck(
            dict(zip(backbone.maps, meta["backbone_channels"], strict=True)),
            meta["hidden_dim"],
            meta["num_feature_levels"],
        ),
        transformer=DeformableTransformer(
            num_classes=meta["num_classes"],
            num_queries=meta["num_queries"],
            num_levels=meta["num_feature_levels"],
            embed_dim=meta["hidden_dim"],
            num_heads=meta["num_heads"],
            num_points=num_samples // (meta["num_heads"] * meta["num_feature_levels"]),
            feed_forward_dim=meta["feedforward_dim"],
            num_encoder_layers=meta["num_encoder_layers"],
            num_decoder_layers=meta["num_decoder_layers"],
        ),
        criterion=DetectionCriterion(
            matcher=HungarianMatcher(cost),
            class_weight=weights["class"],
            box_weight=weights["boxes"],
            giou_weight=weights["giou"],
        ),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
    )
    conversion = convert_checkpoint(published, model.state_dict())
    assert not conversion.skipped
    assert not conversion.unexpected
    model.load_state_dict(conversion.state_dict, strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def output(reference, model):
    masks = reference["padding_mask"]
    sizes = [(int((~m[:, 0]).sum()), int((~m[0]).sum())) for m in masks]
    assert torch.equal(make_padding_mask(sizes, masks.shape[1:]), masks)
    with torch.no_grad():
        return model.detect(ImageList(torch.zeros(len(masks), 3, *masks.shape[1:]), sizes))


@pytest.fixture(scope="module")
def losses(reference, model, output):
    targets = [DetectionTarget(t["labels"], t["boxes"]) for t in reference["targets"]]
    with torch.no_grad():
        return model.criterion(output.decoder, targets)


def test_every_decoder_layer_predicts_the_same(reference, output):
    assert_close(output.decoder.logits, reference["logits_all"], **TOLERANCE)
    assert_close(output.decoder.boxes, reference["boxes_all"], **TOLERANCE)


def test_query_embeddings_are_the_same(reference, output):
    queries = output.decoder.queries
    embeddings = queries / (queries.norm(dim=-1, keepdim=True) + 1e-7)
    assert_close(embeddings, reference["query_embeddings"], **TOLERANCE)


@pytest.mark.parametrize(
    ("ours", "theirs", "weight"),
    [
        ("loss_class", "loss_class", "class"),
        ("loss_box", "loss_boxes", "boxes"),
        ("loss_giou", "loss_giou", "giou"),
    ],
)
def test_losses_are_the_same(reference, losses, ours, theirs, weight):
    unweighted = losses[ours] / reference["meta"]["loss_weights"][weight]
    assert_close(unweighted, reference["losses"][theirs], **TOLERANCE)


def test_supervised_part_of_the_total_loss_is_the_same(reference, losses):
    domain = reference["meta"]["loss_weights"]["domain"] * reference["losses"]["loss_domain"]
    supervised = reference["loss_total"].squeeze() - domain
    assert_close(sum(losses.values()), supervised, **TOLERANCE)


def test_best_detections_are_the_same(reference, output):
    sizes = [tuple(size) for size in reference["image_sizes"].tolist()]
    count = max(len(expected["scores"]) for expected in reference["top10"])
    detections = select_detections(
        output.decoder.logits[-1], output.decoder.boxes[-1], sizes, count
    )
    for (height, width), ours, theirs in zip(sizes, detections, reference["top10"], strict=True):
        assert_close(ours.scores, theirs["scores"], **TOLERANCE)
        image = torch.tensor([width, height, width, height])
        our_boxes = ours.pred_boxes.tensor / image
        their_boxes = (theirs["boxes"] / image).clamp(0, 1)  # ours are clipped to the image
        for score, label, box in zip(theirs["scores"], theirs["labels"], their_boxes, strict=True):
            # Scores that are equal within the tolerance may stand in any order.
            same = (ours.scores - score).abs() < TOLERANCE["atol"]
            same &= ours.pred_classes == label
            same &= ((our_boxes - box).abs() < TOLERANCE["atol"]).all(1)
            assert same.any()
