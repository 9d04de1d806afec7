"""A second detector whose weights are the moving average of those that are trained.

It costs an addition for each weight in each step, and is often steadier and better than the last
weights (Polyak and Juditsky, 1992). A teacher is such an average: without one beside it, a control
of teaching is no control.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from medmask.errors import InputError
from medmask.modeling import MedMask
from medmask.stages.loss_hook import LossHook
from medmask.stages.mean_teacher.ema import (
    make_detector_average,
    restart_average,
    update_average,
)

AVERAGE = "average"


class WeightAveragingHook(LossHook):
    """Evaluates and saves an average of the weights beside the trained ones; adds no loss.

    In step t, counted from 1, the average keeps min(decay, (1 + t) / (10 + t)) of itself: what the
    weights were in the first steps, when they change fast, is soon forgotten.
    """

    def __init__(self, *, decay: float = 0.998) -> None:
        """Create the hook.

        Args:
            decay: share of the average that stays in each iteration, in [0, 1).

        Raises:
            InputError: it is another number.
        """
        super().__init__()
        if not 0 <= decay < 1:
            raise InputError(f"WeightAveragingHook: decay is {decay}, but must lie in [0, 1)")
        self.decay = decay

    def build(self, detector: MedMask) -> None:
        self.average = make_detector_average(detector)

    def before_train(self) -> None:
        super().before_train()
        if self.trainer.start_iter == 0:
            restart_average(self.average, self.trainer.detector)

    def after_step(self) -> None:
        step = self.trainer.iter + 1
        decay = min(self.decay, (1 + step) / (10 + step))
        update_average(self.average, self.trainer.detector, decay)

    def extra_models(self) -> Mapping[str, nn.Module]:
        return {AVERAGE: self.average}

    def state_dict(self) -> dict[str, Any]:
        return {AVERAGE: self.average.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average.load_state_dict(state_dict[AVERAGE])
