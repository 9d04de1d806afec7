import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from medmask.modeling import DetectionTarget, HungarianMatcher, MatchingCost, OneToManyMatcher
from medmask.modeling.boxes import generalized_box_iou

NO_OBJECTS = DetectionTarget(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))


class GivenCost:
    """Costs that are known: (B, Q, T)."""

    def __init__(self, costs):
        self.costs = torch.tensor(costs)

    def __call__(self, logits, boxes, targets):
        return self.costs


def make_targets(*counts, num_classes=1):
    return [
        DetectionTarget(torch.randint(num_classes, (n,)), 0.2 + 0.5 * torch.rand(n, 4))
        for n in counts
    ]


def boxes_around(*centers, size=0.1):
    return torch.tensor([[x, y, size, size] for x, y in centers])


def pairs_of(matches, image):
    """The set of (prediction, target) of one image."""
    chosen = matches.image == image
    pairs = torch.stack((matches.prediction, matches.target), 1)[chosen].tolist()
    assert len(set(map(tuple, pairs))) == len(pairs)
    return set(map(tuple, pairs))


def match_given(matcher_type, costs, targets, *args, **kwargs):
    """Match one image whose costs (Q, T) are given."""
    matcher = matcher_type(GivenCost([costs]), *args)
    num_predictions = len(costs)
    predictions = torch.zeros(1, num_predictions, 1), torch.zeros(1, num_predictions, 4)
    return pairs_of(matcher(*predictions, [targets], **kwargs), 0)


class TestMatchingCost:
    def test_is_the_weighted_sum_of_its_three_terms(self):
        cost = MatchingCost(
            class_weight=1.5, box_weight=3.0, giou_weight=0.7, focal_alpha=0.3, focal_gamma=1.8
        )
        logits = 3 * torch.randn(2, 6, 4)
        boxes = torch.rand(2, 6, 4)
        targets = make_targets(3, 1, num_classes=4)
        costs = cost(logits, boxes, targets)
        assert costs.shape == (2, 6, 3)
        for image, (labels, target_boxes) in enumerate(targets):
            for q, t in itertools.product(range(6), range(len(labels))):
                p = 1 / (1 + math.exp(-logits[image, q, labels[t]].item()))
                as_object = -0.3 * (1 - p) ** 1.8 * math.log(p)
                as_background = -0.7 * p**1.8 * math.log(1 - p)
                a, b = boxes[image, q].double(), target_boxes[t].double()
                distance = sum(abs(x - y) for x, y in zip(a.tolist(), b.tolist(), strict=True))
                expected = 1.5 * (as_object - as_background) + 3.0 * distance
                expected -= 0.7 * generalized_box_iou(a, b).item()
                assert_close(costs[image, q, t].item(), expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("nan_in", ["logits", "boxes"])
    def test_prediction_that_is_not_a_number_costs_most(self, nan_in):
        predictions = {"logits": 20 * torch.randn(1, 5, 1), "boxes": torch.rand(1, 5, 4)}
        predictions[nan_in][0, 2] = torch.nan
        costs = MatchingCost()(**predictions, targets=make_targets(2))
        assert costs.isfinite().all()
        assert (costs.argmax(1) == 2).all()

    def test_certain_predictions_have_a_finite_cost(self):
        logits = torch.tensor([[[-1e4], [1e4], [torch.inf], [-torch.inf]]])
        costs = MatchingCost()(logits, torch.rand(1, 4, 4), make_targets(1))
        assert costs.abs().max() < 100


class TestHungarianMatcher:
    @pytest.mark.parametrize(
        ("num_predictions", "counts"), [(6, (3, 0, 5)), (1, (1,)), (3, (5, 2))]
    )
    def test_has_the_least_total_cost_of_all_assignments(self, num_predictions, counts):
        cost = MatchingCost()
        targets = make_targets(*counts)
        logits = torch.randn(len(counts), num_predictions, 1)
        boxes = torch.rand(len(counts), num_predictions, 4)
        matches = HungarianMatcher(cost)(logits, boxes, targets)
        costs = cost(logits, boxes, targets).double()
        for image, count in enumerate(counts):
            pairs = pairs_of(matches, image)
            size = min(count, num_predictions)
            assert len(pairs) == len({p for p, _ in pairs}) == len({t for _, t in pairs}) == size
            total = sum(costs[image, p, t].item() for p, t in pairs)
            least = min(
                sum(costs[image, p, t].item() for p, t in zip(predictions, chosen, strict=True))
                for predictions in itertools.permutations(range(num_predictions), size)
                for chosen in itertools.combinations(range(count), size)
            )
            assert_close(total, least)

    def test_only_candidates_are_matched(self):
        costs = [[0.0, 0.0, 0.0], [9.0, 1.0, 5.0], [9.0, 3.0, 4.0]]
        candidates = torch.tensor([[False, True, True]])
        targets = make_targets(3)[0]
        pairs = match_given(HungarianMatcher, costs, targets, candidates=candidates)
        assert pairs == {(1, 1), (2, 2)}

    def test_predictions_that_are_not_numbers_are_matched_last_but_do_not_stop_it(self):
        logits, boxes = torch.randn(2, 4, 1), torch.rand(2, 4, 4)
        logits[0, 1:] = torch.nan
        boxes[1] = torch.nan
        matches = HungarianMatcher(MatchingCost())(logits, boxes, make_targets(1, 2))
        assert pairs_of(matches, 0) == {(0, 0)}
        assert len(pairs_of(matches, 1)) == 2


def match_one_to_many_slowly(costs, inside, k):
    """The rules of the matcher, object by object; costs are all different."""
    num_predictions, num_targets = costs.shape
    wants = {}
    for t in range(num_targets):
        holds = [q for q in range(num_predictions) if inside[q, t]]
        pool, count = (holds, k) if holds else (range(num_predictions), 1)
        for q in sorted(pool, key=lambda q: costs[q, t])[:count]:
            wants.setdefault(q, []).append(t)
    return {(q, min(objects, key=lambda t: costs[q, t])) for q, objects in wants.items()}


class TestOneToManyMatcher:
    CENTER = DetectionTarget(torch.zeros(1, dtype=torch.int64), boxes_around((0.5, 0.5), size=0.4))

    @pytest.mark.parametrize("k", [1, 3, 100])
    @pytest.mark.parametrize("seed", range(5))
    def test_follows_its_rules_on_random_objects(self, k, seed):
        torch.manual_seed(seed)
        counts = (4, 0, 7)
        targets = make_targets(*counts)
        targets[0].boxes[:2, 2:] = 1e-4  # too small to hold an anchor
        targets[2].boxes[0] = torch.tensor([0.5, 0.5, 2.0, 2.0])  # holds every anchor
        logits, boxes, anchors = torch.randn(3, 20, 1), torch.rand(3, 20, 4), torch.rand(3, 20, 4)
        cost = MatchingCost()
        matches = OneToManyMatcher(cost, k)(logits, boxes, targets, anchors)
        costs = cost(logits, boxes, targets)
        for image, target in enumerate(targets):
            x, y = anchors[image, :, :2].unbind(-1)
            left, top, right, bottom = (
                target.boxes[:, axis] + sign * target.boxes[:, 2 + axis] / 2
                for sign in (-1, 1)
                for axis in (0, 1)
            )
            inside = (x[:, None] > left) & (x[:, None] < right)
            inside &= (y[:, None] > top) & (y[:, None] < bottom)
            expected = match_one_to_many_slowly(costs[image, :, : counts[image]], inside, k)
            assert pairs_of(matches, image) == expected

    def test_takes_the_cheapest_anchors_inside_and_none_outside(self):
        anchors = boxes_around((0.5, 0.5), (0.4, 0.6), (0.65, 0.5), (0.75, 0.5), (0.5, 0.9))[None]
        costs = [[3.0], [1.0], [2.0], [0.0], [0.0]]
        assert match_given(OneToManyMatcher, costs, self.CENTER, 2, anchors=anchors) == {
            (1, 0),
            (2, 0),
        }
        assert match_given(OneToManyMatcher, costs, self.CENTER, 9, anchors=anchors) == {
            (0, 0),
            (1, 0),
            (2, 0),
        }

    def test_ties_give_as_many_matches_as_asked_for(self):
        anchors = boxes_around(*[(0.5, 0.5)] * 5)[None]
        assert len(match_given(OneToManyMatcher, [[1.0]] * 5, self.CENTER, 3, anchors=anchors)) == 3

    def test_object_that_holds_every_anchor_takes_as_many_as_any_other(self):
        anchors = boxes_around((0.4, 0.4), (0.5, 0.5), (0.6, 0.6))[None]
        costs = [[2.0], [1.0], [3.0]]
        assert match_given(OneToManyMatcher, costs, self.CENTER, 2, anchors=anchors) == {
            (0, 0),
            (1, 0),
        }

    def test_contested_prediction_goes_where_it_is_cheapest(self):
        targets = DetectionTarget(torch.zeros(2, dtype=torch.int64), self.CENTER.boxes.repeat(2, 1))
        anchors = boxes_around((0.5, 0.5), (0.45, 0.5), (0.55, 0.5))[None]
        costs = [[1.0, 2.0], [5.0, 4.0], [6.0, 7.0]]
        pairs = match_given(OneToManyMatcher, costs, targets, 2, anchors=anchors)
        assert pairs == {(0, 0), (1, 1)}

    @pytest.mark.parametrize(
        ("costs", "expected"),
        [
            ([[1.0, 4.0], [2.0, 3.0]], {(0, 0), (1, 1)}),  # each its own
            ([[2.0, 1.0], [3.0, 4.0]], {(0, 1)}),  # both want prediction 0
        ],
    )
    def test_objects_too_small_for_any_anchor_take_one_prediction_from_anywhere(
        self, costs, expected
    ):
        small = boxes_around((0.1, 0.1), (0.9, 0.9), size=0.01)
        targets = DetectionTarget(torch.zeros(2, dtype=torch.int64), small)
        anchors = boxes_around((0.5, 0.5), (0.6, 0.6))[None]
        assert match_given(OneToManyMatcher, costs, targets, 2, anchors=anchors) == expected

    def test_only_candidates_are_matched(self):
        anchors = boxes_around((0.5, 0.5), (0.4, 0.6), (0.9, 0.9), (0.1, 0.1))[None]
        costs = [[0.0], [1.0], [2.0], [3.0]]

        def match(*candidates):
            candidates = torch.tensor([candidates])
            return match_given(
                OneToManyMatcher, costs, self.CENTER, 2, anchors=anchors, candidates=candidates
            )

        assert match(False, True, True, True) == {(1, 0)}
        assert match(False, False, False, True) == {(3, 0)}  # from anywhere
        assert match(False, False, False, False) == set()

    def test_predictions_stand_for_themselves_without_anchors(self):
        boxes = boxes_around((0.5, 0.5), (0.9, 0.9))[None]
        matches = OneToManyMatcher(MatchingCost(), 2)(torch.zeros(1, 2, 1), boxes, [self.CENTER])
        assert pairs_of(matches, 0) == {(0, 0)}

    def test_predictions_that_are_not_numbers_do_not_stop_it(self):
        nan = torch.full((1, 3, 4), torch.nan)
        anchors = boxes_around(*[(0.5, 0.5)] * 3)[None]
        matcher = OneToManyMatcher(MatchingCost(), 2)
        assert len(pairs_of(matcher(nan[..., :1], nan, [self.CENTER], anchors), 0)) == 2


@pytest.mark.parametrize(
    "matcher", [HungarianMatcher(MatchingCost()), OneToManyMatcher(MatchingCost(), 2)]
)
def test_images_without_objects_have_no_matches(matcher):
    matches = matcher(torch.randn(2, 5, 1), torch.rand(2, 5, 4), [NO_OBJECTS, NO_OBJECTS])
    assert all(len(x) == 0 and x.dtype == torch.int64 for x in matches)
