"""Separation of held-out images with the label from those without, by their pooled scores."""

from collections.abc import Sequence

import torch

from medmask.stages.learning import LearningMeasure


def image_label_auc(scores: Sequence[float], labels: Sequence[bool]) -> LearningMeasure | None:
    """Area under the ROC curve: how often an image with the label scores higher than one without.

    Equal scores count half. An answer that ignores the image gets 0.5, give or take two standard
    errors of the Mann-Whitney statistic, which are the margin.

    Args:
        scores: of the images.
        labels: of the same images, true or false.

    Returns:
        The measure; None unless there are images of both kinds.
    """
    values, is_positive = torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)
    if is_positive.all() or not is_positive.any():
        return None
    positive, negative = values[is_positive][:, None], values[~is_positive]
    area = ((positive > negative).double() + 0.5 * (positive == negative).double()).mean()
    num_pairs = positive.numel() * negative.numel()
    chance = float((len(values) + 1) / (12 * num_pairs)) ** 0.5
    return LearningMeasure(float(area), 0.5, margin=2 * chance)
