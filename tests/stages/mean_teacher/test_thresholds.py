import math

import pytest
import torch

from medmask.errors import InputError
from medmask.modeling.matcher import Matches
from medmask.stages.mean_teacher.thresholds import (
    ConfidenceRefinement,
    DynamicThreshold,
    FixedThreshold,
    sum_positive_scores,
)


def build(threshold, num_classes=1):
    threshold.build(num_classes)
    return threshold


def observe(threshold, scores):
    """Tell the schedule the positive scores of each class."""
    threshold.observe(
        torch.tensor([sum(s) for s in scores], dtype=torch.float64),
        torch.tensor([len(s) for s in scores], dtype=torch.float64),
    )


def test_fixed_threshold_never_moves():
    threshold = build(FixedThreshold(value=0.3), 2)
    observe(threshold, [[0.9], [0.4, 0.5]])
    for progress in (0.0, 0.5, 1.0):
        torch.testing.assert_close(threshold.at(progress), torch.tensor([0.3, 0.3]))


def test_dynamic_threshold_follows_its_law():
    threshold = build(DynamicThreshold(initial=0.3, update_period=1), 2)
    expected = [0.3, 0.3]
    for scores in ([[0.9, 0.7], [0.4]], [[0.5], [0.3, 0.35]], [[0.6], []]):
        observe(threshold, scores)
        for k, positive in enumerate(scores):
            target = 0.5 * math.sqrt(sum(positive) / max(len(positive), 1))
            expected[k] = min(max(0.9 * expected[k] + 0.1 * target, 0.25), 0.45)
        torch.testing.assert_close(threshold.at(0.1), torch.tensor(expected))
    assert 0.3 < expected[0] != expected[1]  # the example moves the classes apart


def test_class_without_positive_scores_falls_to_the_lowest_threshold():
    threshold = build(DynamicThreshold(initial=0.44, update_period=1), 2)
    observe(threshold, [[], [0.9]])
    assert threshold.at(0.0)[0].item() == pytest.approx(0.9 * 0.44)
    for _ in range(20):
        observe(threshold, [[], [0.9]])
    assert threshold.at(0.0).tolist() == pytest.approx([0.25, 0.45], abs=0.03)


def test_positive_scores_are_those_of_matched_queries_by_their_best_class():
    scores = torch.tensor([[[0.9, 0.1], [0.3, 0.6], [0.8, 0.7]], [[0.2, 0.4], [0.1, 0.5], [0, 0]]])
    image, prediction = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 1])
    sums = sum_positive_scores(
        scores.logit(), Matches(image, prediction, target=torch.tensor([0, 1, 0]))
    )
    torch.testing.assert_close(sums.float(), torch.tensor([[0.8, 0.6 + 0.5], [1, 2]]))
    nothing = sum_positive_scores(scores.logit(), Matches(*torch.zeros(3, 0, dtype=torch.int64)))
    assert nothing.tolist() == [[0, 0], [0, 0]]


def test_period_may_be_a_share_of_the_run():
    threshold = build(DynamicThreshold(update_period=0.25), 1)
    threshold.set_run_length(8)
    observe(threshold, [[0.9]])
    assert threshold.at(0.0).item() == pytest.approx(0.3)
    observe(threshold, [[0.9]])
    assert threshold.at(0.0).item() > 0.3
    with pytest.raises(InputError, match=r"update_period is 8 iterations, but the run has 8"):
        build(DynamicThreshold(update_period=8), 1).set_run_length(8)


@pytest.mark.parametrize(("score", "limit"), [(1.0, 0.45), (0.01, 0.25)])
def test_dynamic_threshold_stays_within_its_limits(score, limit):
    threshold = build(DynamicThreshold(update_period=1), 1)
    for _ in range(100):
        observe(threshold, [[score]])
    assert threshold.at(1.0).item() == pytest.approx(limit)


def test_update_takes_the_mean_over_its_period():
    """Scores count alike, whichever iteration they came from."""
    threshold = build(DynamicThreshold(initial=0.3, update_period=2), 1)
    for _ in range(2):
        before = threshold.at(0.0).item()
        observe(threshold, [[0.9, 0.9, 0.9]])
        assert threshold.at(0.0).item() == before
        observe(threshold, [[0.5]])
        assert threshold.at(0.0).item() == pytest.approx(0.9 * before + 0.05 * math.sqrt(0.8))


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_restored_dynamic_threshold_goes_on_the_same(iterations):
    one, other = (build(DynamicThreshold(update_period=2), 1) for _ in range(2))
    for i in range(iterations):
        observe(one, [[0.5 + 0.1 * i]])
    other.load_state_dict(one.state_dict())
    for threshold in (one, other):
        observe(threshold, [[0.9]])
        observe(threshold, [[0.8]])
    assert torch.equal(one.at(0.5), other.at(0.5))
    assert one.at(0.5).item() != pytest.approx(0.3)


@pytest.mark.parametrize("progress", [0.0, 0.2, 0.5, 1.0])
def test_confidence_refinement_follows_its_law(progress):
    threshold = build(ConfidenceRefinement(soft=0.1, hard=0.8, steepness=5.0), 3)
    d = math.tanh(5 * progress / 2)  # what 2 / (1 + exp(-5 r)) - 1 is
    expected = torch.full((3,), 0.1 + d * 0.7)
    torch.testing.assert_close(threshold.at(progress), expected)


def test_confidence_refinement_is_that_of_d_master():
    threshold = build(ConfidenceRefinement(), 1)
    values = [threshold.at(progress).item() for progress in (0, 0.25, 0.5, 1)]
    assert values == pytest.approx([0.1, 0.187, 0.271, 0.423], abs=5e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedThreshold(value=1.5), "value is 1.5"),
        (lambda: DynamicThreshold(initial=0.2), "initial 0.2"),
        (lambda: DynamicThreshold(lowest=0.5), "lowest 0.5"),
        (lambda: DynamicThreshold(momentum=-1), "momentum is -1"),
        (lambda: DynamicThreshold(update_period=0), "update_period is 0"),
        (lambda: DynamicThreshold(update_period=1.5), "update_period is 1.5"),
        (lambda: ConfidenceRefinement(steepness=0), "steepness is 0"),
        (lambda: ConfidenceRefinement(hard=8), "hard is 8"),
    ],
)
def test_senseless_values_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
