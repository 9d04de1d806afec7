"""Gradients that are not finite must not reach the weights."""

import logging
import math
from typing import Any

import torch

from medmask.errors import InputError

logger = logging.getLogger(__name__)

MAX_SKIPPED_IN_A_ROW = 10
"""Updates that may be left out one after another before the run is given up."""


class UpdateGuard:
    """Allows the update of a step if its gradients are finite.

    A finite loss can have gradients that are not, such as that of a square root at 0. One such
    batch is left out; if they repeat, the weights are no good any more, and the run ends. In half
    precision such gradients are normal while the loss is scaled up too much: the scale is halved
    each time, and they count only when there is nothing left to halve.
    """

    def __init__(self, grad_scaler: torch.amp.GradScaler) -> None:
        """Create the guard.

        Args:
            grad_scaler: of the losses; it leaves out updates by itself where it is enabled.
        """
        self._grad_scaler = grad_scaler
        self.is_allowed = True
        self.num_skipped = 0
        """updates that were left out in this run"""
        self.num_in_a_row = 0
        """the last of them, if they repeat for no good reason"""
        self._gradient_norm = 0.0

    def judge(self, gradient_norm: float, iteration: int) -> None:
        """Decide on the update of a step.

        Args:
            gradient_norm: of all parameters together, the same in every process.
            iteration: of the step.

        Raises:
            InputError: :data:`MAX_SKIPPED_IN_A_ROW` updates were left out, and so would be this.
        """
        self._gradient_norm = gradient_norm
        self.is_allowed = math.isfinite(gradient_norm)
        if self.is_allowed:
            self.num_in_a_row = 0
            return
        if self._is_scaled_too_much():
            self.num_skipped += 1
            return
        if self.num_in_a_row == MAX_SKIPPED_IN_A_ROW:
            raise InputError(
                f"the gradients are not finite at iteration {iteration}, nor were they in the "
                f"{MAX_SKIPPED_IN_A_ROW} before: lower optimizer.lr, switch train.amp.enabled off, "
                "or look for damaged images and boxes with medmask check-data"
            )
        self.num_skipped += 1
        self.num_in_a_row += 1
        logger.warning(
            f"The gradients are not finite at iteration {iteration}: the update is left out "
            f"({self.num_skipped} so far)."
        )

    def _is_scaled_too_much(self) -> bool:
        return self._grad_scaler.is_enabled() and self._grad_scaler.get_scale() > 1

    def metrics(self) -> dict[str, float]:
        """``gradient_norm`` if it is finite, and ``skipped_updates`` if there are any."""
        metrics = {"gradient_norm": self._gradient_norm} if self.is_allowed else {}
        if self.num_skipped:
            metrics["skipped_updates"] = self.num_skipped
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"num_skipped": self.num_skipped, "num_in_a_row": self.num_in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.num_skipped = state_dict["num_skipped"]
        self.num_in_a_row = state_dict["num_in_a_row"]
