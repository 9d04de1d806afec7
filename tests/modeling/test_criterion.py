import math

import pytest
import torch
from torch.testing import assert_close

from medmask.errors import InputError
from medmask.modeling import (
    DetectionCriterion,
    DetectionTarget,
    HungarianMatcher,
    MatchingCost,
    generalized_box_iou,
)
from medmask.modeling.decoder import DecoderOutput
from medmask.modeling.matcher import Matches
from medmask.modeling.proposals import ProposalOutput

WEIGHTS = {"class": 1.3, "box": 2.9, "giou": 0.6}


@pytest.fixture
def criterion():
    return DetectionCriterion(
        matcher=HungarianMatcher(MatchingCost()),
        class_weight=WEIGHTS["class"],
        box_weight=WEIGHTS["box"],
        giou_weight=WEIGHTS["giou"],
        focal_alpha=0.3,
        focal_gamma=1.5,
    )


def make_targets(*counts, num_classes=3):
    return [
        DetectionTarget(torch.randint(num_classes, (n,)), 0.2 + 0.5 * torch.rand(n, 4))
        for n in counts
    ]


def make_output(num_images, num_queries=6, num_classes=3, num_layers=3):
    shape = (num_layers, num_images, num_queries)
    logits = torch.randn(*shape, num_classes, requires_grad=True)
    boxes = torch.rand(*shape, 4, requires_grad=True)
    return DecoderOutput(logits, boxes, torch.zeros(0))


def focal(logit, is_object, alpha, gamma):
    p = 1 / (1 + math.exp(-logit))
    if is_object:
        return -alpha * (1 - p) ** gamma * math.log(p)
    return -(1 - alpha) * p**gamma * math.log(1 - p)


def image_losses(logits, boxes, target, pairs):
    """Sums over one image, given its pairs {prediction: target}; plain Python numbers."""
    sums = dict.fromkeys(WEIGHTS, 0.0)
    for q, query_logits in enumerate(logits.tolist()):
        label = target.labels[pairs[q]].item() if q in pairs else None
        for category, logit in enumerate(query_logits):
            sums["class"] += focal(logit, category == label, alpha=0.3, gamma=1.5)
    for q, t in pairs.items():
        a, b = boxes[q].double(), target.boxes[t].double()
        sums["box"] += sum(abs(x - y) for x, y in zip(a.tolist(), b.tolist(), strict=True))
        sums["giou"] += 1 - generalized_box_iou(a, b).item()
    return sums


@pytest.mark.parametrize("counts", [(2, 3), (0, 4), (0, 0), (9, 1)], ids=str)
def test_is_the_mean_over_layers_of_what_each_layer_and_image_loses(criterion, counts):
    targets = make_targets(*counts)
    output = make_output(num_images=2)
    num_layers = len(output.logits)
    expected = dict.fromkeys(WEIGHTS, 0.0)
    for layer in range(num_layers):
        for image in range(2):
            logits, boxes = output.logits[layer, image], output.boxes[layer, image]
            matches = criterion.matcher(logits[None], boxes[None], [targets[image]])
            pairs = dict(zip(matches.prediction.tolist(), matches.target.tolist(), strict=True))
            for name, value in image_losses(logits, boxes, targets[image], pairs).items():
                expected[name] += WEIGHTS[name] * value / num_layers / max(sum(counts), 1)
    losses, _ = criterion(output, targets)
    assert set(losses) == {"loss_class", "loss_box", "loss_giou"}
    for name, value in expected.items():
        assert_close(losses[f"loss_{name}"].item(), value, rtol=1e-4, atol=1e-6)
    assert (losses["loss_box"] > 0) == (sum(counts) > 0)


class GivenMatches:
    """Two of three predictions of the second image answer for its only object."""

    matches_per_target = 2

    def __call__(self, logits, boxes, targets, anchors=None, candidates=None):
        assert [t.labels.tolist() for t in targets] == [[], [0]]  # an object, of whatever class
        self.options = anchors, candidates
        return Matches(torch.tensor([1, 1]), torch.tensor([0, 2]), torch.tensor([0, 0]))


def test_proposals_know_objects_but_no_classes(criterion):
    criterion.proposal_matcher = GivenMatches()
    targets = [make_targets(0)[0], DetectionTarget(torch.tensor([2]), torch.rand(1, 4))]
    anchors = torch.rand(2, 3, 4)
    accepted = torch.rand(2, 3) < 0.5
    proposals = ProposalOutput(torch.randn(2, 3, 1), torch.rand(2, 3, 4), anchors, accepted)
    losses, _ = criterion(make_output(num_images=2), targets, proposals)
    objects = DetectionTarget(torch.tensor([0]), targets[1].boxes)
    negative = image_losses(proposals.logits[0], proposals.boxes[0], objects, {})
    positive = image_losses(proposals.logits[1], proposals.boxes[1], objects, {0: 0, 2: 0})
    for name, weight in WEIGHTS.items():
        expected = weight * (negative[name] + positive[name]) / 2  # matches per object
        assert_close(losses[f"loss_{name}_proposals"].item(), expected, rtol=1e-4, atol=1e-6)
    assert criterion.proposal_matcher.options == (anchors, accepted)


def test_objects_that_only_tokens_without_a_say_could_propose_cost_nothing(criterion):
    """A token at the border has a fixed logit: matched, it would be a huge and constant loss."""
    accepted = torch.tensor([[False, True]])
    logits = torch.tensor([[[-1e4], [0.0]]])
    boxes = torch.tensor([[[0.0, 0.0, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]]])
    targets = [DetectionTarget(torch.tensor([0, 0]), torch.tensor([[0.02, 0.02, 0.1, 0.1]] * 2))]
    output = make_output(num_images=1)
    losses, _ = criterion(output, targets, ProposalOutput(logits, boxes, boxes, accepted))
    assert losses["loss_class_proposals"] < 10


def test_prediction_without_a_match_still_takes_part_in_the_gradient(criterion):
    output = make_output(num_images=2)
    sum(criterion(output, make_targets(0, 0))[0].values()).backward()
    assert (output.logits.grad != 0).all()
    assert (output.boxes.grad == 0).all()


@pytest.mark.parametrize("gamma", [0, 1, 2])
def test_a_sure_prediction_has_a_finite_gradient(gamma):
    criterion = DetectionCriterion(matcher=HungarianMatcher(MatchingCost()), focal_gamma=gamma)
    output = make_output(num_images=1, num_queries=2, num_classes=1)
    with torch.no_grad():
        output.logits.copy_(torch.tensor([20.0, -120.0])[:, None])
    sum(criterion(output, make_targets(1, num_classes=1))[0].values()).backward()
    assert output.logits.grad.isfinite().all()


def test_an_exponent_without_such_gradients_is_refused():
    with pytest.raises(InputError, match=r"model.criterion.focal_gamma is 0.5, but between 0 and"):
        DetectionCriterion(matcher=HungarianMatcher(MatchingCost()), focal_gamma=0.5)


@pytest.mark.parametrize("nan_in", ["logits", "boxes"])
def test_loss_of_predictions_that_are_not_numbers_is_not_a_number(criterion, nan_in):
    output = make_output(num_images=2)
    with torch.no_grad():
        getattr(output, nan_in)[:, 1] = torch.nan
    assert sum(criterion(output, make_targets(1, 2))[0].values()).isnan()


def test_half_precision_logits_lose_nothing_but_their_own_rounding(criterion):
    output = make_output(num_images=1)
    rounded = DecoderOutput(output.logits.bfloat16(), output.boxes, output.queries)
    same = DecoderOutput(output.logits.bfloat16().float(), output.boxes, output.queries)
    targets = make_targets(2)
    assert_close(criterion(rounded, targets)[0], criterion(same, targets)[0])
