"""The weight of the loss, such that its gradient in the encoder is a share of detection's.

By hand the weight is a guess: the gradients of the two losses differ by two orders of magnitude,
and their ratio depends on the detector, on the maps and on how far both have learned.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from medmask.modeling import MedMask
from medmask.stages.gradient_norms import DETECTION, GradientNorms, group_of

PERIOD = 20
"""Iterations from one measurement to the next; one costs two backward passes down to the encoder"""
MEMORY = 0.5
"""Share of the logarithm of the weight that stays when there is a new measurement"""
FARTHEST = 100.0
"""Factor between the weight and the given one at most. A decoder that has hardly learned passes
next to no gradient on to the encoder; a weight that made up for it would drown detection."""
_PART = "encoder"


class GradientShare:
    """Follows a share, from the first measurement on; before that the weight is the given one.

    A measurement wants the weight w' = w s |g_det| / |g|, where g is the gradient of the weighted
    loss in the encoder and s the share, but at most a hundred times the given weight and at least a
    hundredth of it. The first w' is taken as it is; of any later one the weight takes the geometric
    mean with itself. It changes in :meth:`end_iteration` only.
    """

    def __init__(self, weight: float, share: float | None) -> None:
        """Create it.

        Args:
            weight: until the first measurement.
            share: s, positive; None keeps the weight.
        """
        self.weight = weight
        self.share = share
        self._least, self._greatest = weight / FARTHEST, weight * FARTHEST
        self._is_measured = False
        self._norms: GradientNorms | None = None
        self._wanted: float | None = None

    def begin_iteration(self, detector: MedMask, iteration: int) -> None:
        """Prepare a measurement, if it is time for one.

        Args:
            detector: the bare one.
            iteration: counted from the first in which the loss trains the detector; negative ones
                are before it.
        """
        self._norms = self._wanted = None
        if self.share is not None and iteration >= 0 and iteration % PERIOD == 0:
            self._norms = GradientNorms({_PART: detector.transformer.encoder})

    def add(self, losses: Mapping[str, Tensor], name: str, scale: float) -> None:
        """Take the gradients of a batch into the measurement.

        Args:
            losses: weighted, as they are summed up for the backward pass.
            name: of the loss that is weighted here.
            scale: factor on the losses during the pass, see :meth:`GradientNorms.add`.
        """
        if self._norms is not None:
            groups = {group_of(name), DETECTION}
            concerned = {key: loss for key, loss in losses.items() if group_of(key) in groups}
            self._norms.add(concerned, scale)

    def measure(self, name: str) -> None:
        """Conclude the measurement, after the last batch; a gradient of zero tells nothing."""
        if self._norms is None or self.share is None:
            return
        norms = self._norms.compute()
        self._norms = None
        own, detection = (
            norms.get(group, {}).get(_PART, 0.0) for group in (group_of(name), DETECTION)
        )
        if own > 0 and detection > 0 and math.isfinite(own) and math.isfinite(detection):
            wanted = self.weight * self.share * detection / own
            self._wanted = min(max(wanted, self._least), self._greatest)

    def end_iteration(self) -> None:
        """Change the weight, if it was measured."""
        if self._wanted is None:
            return
        memory = MEMORY if self._is_measured else 0.0
        self.weight = self.weight**memory * self._wanted ** (1 - memory)
        self._is_measured = True
        self._wanted = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"weight": self.weight, "is_measured": self._is_measured}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` gave; a weight that is set by hand stays so."""
        if self.share is not None:
            self.weight = state_dict["weight"]
            self._is_measured = state_dict["is_measured"]
