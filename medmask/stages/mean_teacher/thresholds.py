"""Schedules of the score above which a teacher's box becomes a pseudo label."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from medmask.errors import InputError
from medmask.modeling.matcher import Matches
from medmask.utils.periods import Period, check_period, to_iterations_within


class ConfidenceThreshold:
    """A schedule of one threshold for each of K classes."""

    num_classes: int
    """K"""

    def build(self, num_classes: int) -> None:
        """Prepare for the detector's K classes; called once, before anything else."""
        self.num_classes = num_classes

    def at(self, progress: float) -> Tensor:
        """Return the thresholds at a moment of the run.

        Args:
            progress: share of the run that is done, in [0, 1].

        Returns:
            (K,) float32 in [0, 1].
        """
        raise NotImplementedError

    def set_run_length(self, max_iter: int) -> None:
        """Turn periods, which may be shares of the run, into iterations.

        Raises:
            InputError: the thresholds would never move, though they should.
        """

    def observe(self, score_sums: Tensor, counts: Tensor) -> None:
        """Learn from an iteration's labeled images, those of all processes together.

        Args:
            score_sums: (K,), sum of the positive scores of each class: the student's scores of the
                queries that are matched to an object, each counted for the class that scores best.
            counts: (K,), how many they are.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return the state that :meth:`observe` changes."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` gave."""


@torch.no_grad()
def sum_positive_scores(logits: Tensor, matches: Matches) -> Tensor:
    """Sum the scores of the queries that were matched to an object, by the class that scores best.

    Args:
        logits: (N, Q, K), of the last decoder layer.
        matches: of that layer.

    Returns:
        (2, K) float64: sums of the scores, and how many they are.
    """
    scores, labels = logits[matches.image, matches.prediction].double().sigmoid().max(dim=-1)
    is_of_class = F.one_hot(labels, logits.shape[-1]).double()  # (R, K)
    # A product and a sum: adding by index has no fixed order on a GPU.
    return torch.stack(((is_of_class * scores[:, None]).sum(0), is_of_class.sum(0)))


class FixedThreshold(ConfidenceThreshold):
    """One value for all classes, all the time."""

    def __init__(self, *, value: float) -> None:
        """Create the schedule.

        Args:
            value: in [0, 1].

        Raises:
            InputError: ``value`` is no probability.
        """
        _check_probabilities("FixedThreshold", value=value)
        self.value = value

    def at(self, progress: float) -> Tensor:
        return torch.full((self.num_classes,), self.value)


class DynamicThreshold(ConfidenceThreshold):
    """A threshold that follows the student's confidence in each class (MRT, Zhao et al., 2023).

    At an update, with s the mean positive score on labeled images since the last one,

        t <- momentum * t + (1 - momentum) * scale * sqrt(s), clipped to [lowest, highest].

    The scores are those on labeled images, so that a threshold does not decide what it follows. A
    class without positive scores has s = 0: its threshold falls towards the lowest one, update by
    update, and lets the class in again.
    """

    def __init__(
        self,
        *,
        initial: float = 0.3,
        momentum: float = 0.9,
        scale: float = 0.5,
        lowest: float = 0.25,
        highest: float = 0.45,
        update_period: Period = 0.05,
    ) -> None:
        """Create the schedule.

        Args:
            initial: threshold of every class until the first update.
            momentum: gamma of the paper, in [0, 1].
            scale: alpha of the paper, in [0, 1].
            lowest: in [0, 1].
            highest: in [0, 1].
            update_period: from one update to the next, in iterations or as a share of the run.

        Raises:
            InputError: a value makes no sense.
        """
        _check_probabilities("DynamicThreshold", momentum=momentum, scale=scale, highest=highest)
        if not 0 <= lowest <= initial <= highest:
            raise InputError(
                f"DynamicThreshold: lowest {lowest}, initial {initial} and highest {highest} must "
                "ascend from 0 or more"
            )
        check_period(update_period, "DynamicThreshold: update_period")
        self.initial = initial
        self.momentum = momentum
        self.scale = scale
        self.range = (lowest, highest)
        self.update_period = update_period
        self._iterations = update_period if isinstance(update_period, int) else None

    def build(self, num_classes: int) -> None:
        super().build(num_classes)
        self.values = torch.full((num_classes,), self.initial, dtype=torch.float64)
        self._forget()

    def at(self, progress: float) -> Tensor:
        return self.values.float()

    def set_run_length(self, max_iter: int) -> None:
        key = "loss_hooks.teacher.threshold.update_period"
        self._iterations = to_iterations_within(self.update_period, max_iter, key)

    def observe(self, score_sums: Tensor, counts: Tensor) -> None:
        self.score_sums += score_sums
        self.counts += counts
        self.observed += 1
        assert self._iterations is not None  # a share of the run, whose length is known by now
        if self.observed >= self._iterations:
            self._update()
            self._forget()

    def _update(self) -> None:
        mean = self.score_sums / self.counts.clamp(min=1)
        followed = self.momentum * self.values + (1 - self.momentum) * self.scale * mean.sqrt()
        self.values = followed.clamp(*self.range)

    def _forget(self) -> None:
        self.score_sums = torch.zeros(self.num_classes, dtype=torch.float64)
        self.counts = torch.zeros(self.num_classes, dtype=torch.float64)
        self.observed = 0  # iterations

    def state_dict(self) -> dict[str, Any]:
        return {
            "values": self.values,
            "score_sums": self.score_sums.clone(),  # changed in place
            "counts": self.counts.clone(),
            "observed": self.observed,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.values = state_dict["values"]
        self.score_sums = state_dict["score_sums"].clone()
        self.counts = state_dict["counts"].clone()
        self.observed = state_dict["observed"]


class ConfidenceRefinement(ConfidenceThreshold):
    """A threshold that rises during the run: from many doubtful labels to few certain ones.

    At progress r the threshold is C = (1 - d) * soft + d * hard with
    d = 2 / (1 + exp(-steepness * r)) - 1, which is 0 at the start (ConfMix, Mattolin et al., 2023;
    the steepness is D-MASTER's, Ashraf et al., 2024).
    """

    def __init__(self, *, soft: float = 0.1, hard: float = 0.8, steepness: float = 1.0) -> None:
        """Create the schedule.

        Args:
            soft: threshold at the start, in [0, 1].
            hard: threshold that it tends to, in [0, 1].
            steepness: alpha of D-MASTER, > 0; 1 gives d = 0.24 at half of the run and 0.46 at its
                end (thresholds of 0.27 and 0.42), 5 gives 0.85 and 0.987.

        Raises:
            InputError: a value makes no sense.
        """
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
