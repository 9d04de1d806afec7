import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from medmask.stages.image_labels.separation import image_label_auc


def test_area_and_margin_are_those_of_the_mann_whitney_statistic():
    random = np.random.default_rng(0)
    scores = random.integers(0, 8, 40) / 4  # with equal ones
    labels = random.random(40) < 0.3
    measure = image_label_auc(scores.tolist(), labels.tolist())
    statistic = mannwhitneyu(scores[labels], scores[~labels]).statistic
    assert measure.value == pytest.approx(statistic / (labels.sum() * (~labels).sum()))
    # the spread of what chance gives, without equal scores
    areas = [
        image_label_auc(random.random(40).tolist(), labels.tolist()).value for _ in range(2000)
    ]
    assert measure.margin == pytest.approx(2 * np.std(areas), rel=0.1)
    assert measure.constant == 0.5


def test_scores_that_separate_beat_the_constant_and_equal_ones_do_not():
    labels = [True] * 6 + [False] * 6
    perfect = image_label_auc([1.0] * 6 + [-1.0] * 6, labels)
    assert perfect.value == 1
    assert perfect.beats_constant
    equal = image_label_auc([0.0] * 12, labels)
    assert equal.value == 0.5
    assert not equal.beats_constant
    assert not image_label_auc([float("nan")] * 12, labels).beats_constant


@pytest.mark.parametrize("labels", [[], [True], [False, False]])
def test_images_of_one_kind_are_not_measured(labels):
    assert image_label_auc(torch.zeros(len(labels)).tolist(), labels) is None
