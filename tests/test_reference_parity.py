"""Same weights in, same numbers out: the detector against values of a public implementation."""

import pytest
import torch
from torch.testing import assert_close

from medmask.modeling import DetectionTarget
from medmask.modeling.postprocessing import select_detections

TOLERANCE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture(scope="module")
def output(reference_model, reference_images):
    with torch.no_grad():
        return reference_model.detect(reference_images)


@pytest.fixture(scope="module")
def losses(reference, reference_model, output):
    targets = [DetectionTarget(t["labels"], t["boxes"]) for t in reference["targets"]]
    with torch.no_grad():
        return reference_model.criterion(output.decoder, targets)[0]


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
