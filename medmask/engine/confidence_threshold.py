"""Above which score a teacher's box becomes a pseudo label, in the course of training."""

import math
from typing import Any

import torch
from torch import Tensor

from medmask.errors import InputError


class ConfidenceThreshold:
    """A schedule of one threshold per class."""

    def __init__(self, num_classes: int) -> None:
        """Create the schedule for K = ``num_classes`` classes."""
        self.num_classes = num_classes

    def at(self, progress: float) -> Tensor:
        """The thresholds (K,) float32 in [0, 1] at ``progress``, the share of the run that is done.

        Args:
            progress: in [0, 1].
        """
        raise NotImplementedError

    def observe(self, score_sums: Tensor, counts: Tensor) -> None:
        """Learn from the pseudo labels of one teacher pass, those of all processes together.

        Args:
            score_sums: (K,), sum of the positive scores of each class. Positive scores are those
                of the boxes that became pseudo labels: above the threshold and not suppressed.
            counts: (K,), how many they are.
        """

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`observe` changed."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""


class FixedThreshold(ConfidenceThreshold):
    """One value for all classes, all the time."""

    def __init__(self, *, num_classes: int, value: float) -> None:
        """Create the schedule.

        Args:
            num_classes: K.
            value: in [0, 1].

        Raises:
            InputError: ``value`` is no probability.
        """
        super().__init__(num_classes)
        _check_probabilities("FixedThreshold", value=value)
        self.value = value

    def at(self, progress: float) -> Tensor:
        return torch.full((self.num_classes,), self.value)


class DynamicThreshold(ConfidenceThreshold):
    """Follows the teacher's confidence in each class (as in MRT, Zhao et al., 2023).

    At an update, with s the mean positive score since the last one,

        t <- momentum * t + (1 - momentum) * scale * sqrt(s), clipped to [lowest, highest].

    A class without positive scores since then keeps its threshold.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        initial: float = 0.3,
        momentum: float = 0.9,
        scale: float = 0.5,
        lowest: float = 0.25,
        highest: float = 0.45,
        update_period: int = 100,
    ) -> None:
        """Create the schedule.

        Args:
            num_classes: K.
            initial: threshold of every class until the first update.
            momentum: gamma of the paper, in [0, 1].
            scale: alpha of the paper, in [0, 1].
            lowest: in [0, 1].
            highest: in [0, 1].
            update_period: teacher passes from one update to the next.

        Raises:
            InputError: a value makes no sense.
        """
        super().__init__(num_classes)
        _check_probabilities("DynamicThreshold", momentum=momentum, scale=scale, highest=highest)
        if not 0 <= lowest <= initial <= highest:
            raise InputError(
                f"DynamicThreshold: lowest {lowest}, initial {initial} and highest {highest} must "
                "ascend from 0 or more"
            )
        if update_period < 1:
            raise InputError(
                f"DynamicThreshold: update_period is {update_period}, but must be at least 1"
            )
        self.momentum = momentum
        self.scale = scale
        self.range = (lowest, highest)
        self.update_period = update_period
        self.values = torch.full((num_classes,), initial, dtype=torch.float64)
        self._forget()

    def at(self, progress: float) -> Tensor:
        return self.values.float()

    def observe(self, score_sums: Tensor, counts: Tensor) -> None:
        self.score_sums += score_sums
        self.counts += counts
        self.passes += 1
        if self.passes == self.update_period:
            self._update()
            self._forget()

    def _update(self) -> None:
        mean = self.score_sums / self.counts.clamp(min=1)
        followed = self.momentum * self.values + (1 - self.momentum) * self.scale * mean.sqrt()
        self.values = torch.where(self.counts > 0, followed.clamp(*self.range), self.values)

    def _forget(self) -> None:
        self.score_sums = torch.zeros(self.num_classes, dtype=torch.float64)
        self.counts = torch.zeros(self.num_classes, dtype=torch.float64)
        self.passes = 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "values": self.values,
            "score_sums": self.score_sums.clone(),  # changed in place
            "counts": self.counts.clone(),
            "passes": self.passes,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.values = state_dict["values"]
        self.score_sums = state_dict["score_sums"].clone()
        self.counts = state_dict["counts"].clone()
        self.passes = state_dict["passes"]


class ConfidenceRefinement(ConfidenceThreshold):
    """From many doubtful labels to few certain ones in the course of the run.

    At progress r the threshold is C = (1 - d) * soft + d * hard with
    d = 2 / (1 + exp(-steepness * r)) - 1 (as in ConfMix, Mattolin et al., 2023), which is 0 at
    the start and near 1 at the end.
    """

    def __init__(
        self, *, num_classes: int, soft: float = 0.1, hard: float = 0.8, steepness: float = 5.0
    ) -> None:
        """Create the schedule.

        Args:
            num_classes: K.
            soft: threshold at the start, in [0, 1].
            hard: threshold that it tends to, in [0, 1].
            steepness: > 0; 5 gives d = 0.85 at half of the run and 0.987 at its end.

        Raises:
            InputError: a value makes no sense.
        """
        super().__init__(num_classes)
        _check_probabilities("ConfidenceRefinement", soft=soft, hard=hard)
        if steepness <= 0:
            raise InputError(
                f"ConfidenceRefinement: steepness is {steepness}, but must be positive"
            )
        self.soft = soft
        self.hard = hard
        self.steepness = steepness

    def at(self, progress: float) -> Tensor:
        hardness = 2 / (1 + math.exp(-self.steepness * progress)) - 1
        return torch.full((self.num_classes,), (1 - hardness) * self.soft + hardness * self.hard)


def _check_probabilities(schedule: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise InputError(f"{schedule}: {name} is {value}, but must lie in [0, 1]")
