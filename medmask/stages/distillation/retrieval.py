"""Retrieval of the expert's embeddings by the student's, on held-out images."""

import torch
from torch import Tensor

from medmask.stages.distillation.expert_contrast import unit_vectors
from medmask.stages.learning import LearningMeasure, chance_margin


class Retrieval:
    """Top-1 accuracy: whether an object's own expert embedding is the most similar of all.

    A constant answer finds one embedding for all objects, and is right for one of them: 1 / n.
    """

    def __init__(self) -> None:
        self._students: list[Tensor] = []
        self._experts: list[Tensor] = []

    def add(self, student: Tensor, expert: Tensor) -> None:
        """Add R objects: (R, D) each, of any length."""
        self._students.append(unit_vectors(student).cpu())
        self._experts.append(unit_vectors(expert).cpu())

    def measure(self) -> LearningMeasure | None:
        """Measure over all objects; None where there are fewer than two to tell apart."""
        count = sum(map(len, self._students))
        if count < 2:
            return None
        similarity = torch.cat(self._students) @ torch.cat(self._experts).T
        own = similarity.diagonal()
        # What is as similar as its own counts as found first: a constant expert is never right.
        others = similarity - torch.diag(torch.full((count,), torch.inf))
        accuracy = float((own > others.amax(dim=1)).double().mean())
        return LearningMeasure(accuracy, 1 / count, chance_margin(1 / count, count))
