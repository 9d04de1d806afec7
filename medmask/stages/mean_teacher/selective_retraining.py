"""Selective retraining (as in MRT, Zhao et al., 2023): start again, but keep the decoder.

The student's backbone and encoder drift towards the noise of its pseudo labels. Setting them back
now and then gives them another way from the same start, under a decoder and a teacher that have
learned since.
"""

import logging
import math
from typing import Any

import torch
from torch import Tensor, nn

from medmask.modeling import MedMask
from medmask.stages.loss_hook import LossHook
from medmask.utils.periods import Period, check_period, to_iterations_within

KEY = "loss_hooks.selective_retraining.period"
KEPT = ("transformer.decoder.layers.", "training_modules.")
"""Prefixes of the parameters that are never set back: the decoder's layers, and what only training
uses"""
HEADS = ("transformer.decoder.class_heads.", "transformer.decoder.box_heads.")
"""Prefixes of the heads' parameters, which are set back unless they are to be kept"""


class SelectiveRetrainingHook(LossHook):
    """Sets all but the decoder's layers back to the weights that the stage started from.

    It does so before every iteration whose number is a multiple of ``period``, so what is evaluated
    and saved just before is the trained model; the log tells of every reset. A share of the run is
    rounded up to whole iterations: rounded down, a half would fit twice into a run of an odd number
    of iterations, whose last one would then start from reset weights. The class and box
    heads, the neck and the queries (of a two-stage detector: the proposals) are set back with
    backbone and encoder, BatchNorm statistics with the weights; a teacher is left alone.

    The start weights are part of the checkpoint, so that a resumed run needs no other file.
    """

    def __init__(self, *, period: Period, keep_heads: bool = False) -> None:
        """Create the hook.

        Args:
            period: from one reset to the next, in iterations or as a share of the run.
            keep_heads: whether the decoder keeps its class and box heads, too. MRT sets them back,
                under layers whose queries they have not been trained on.

        Raises:
            InputError: it is neither.
        """
        super().__init__()
        check_period(period, KEY)
        self.period = period
        self.kept = (*KEPT, *HEADS) if keep_heads else KEPT
        self.start_weights: dict[str, Tensor] = {}

    def build(self, detector: MedMask) -> None:
        self._remember(detector)  # so that a checkpoint without a state is refused

    def set_run_length(self, max_iter: int) -> None:
        self._iterations = to_iterations_within(self.period, max_iter, KEY)
        if isinstance(self.period, float):
            up = math.ceil(self.period * max_iter * (1 - 1e-12))  # 0.07 * 100 is 7.000000000000001
            self._iterations = min(up, max_iter - 1)

    def before_train(self) -> None:
        if self.trainer.start_iter == 0:
            self._remember(self.trainer.detector)

    def before_step(self) -> None:
        if self.trainer.iter > 0 and self.trainer.iter % self._iterations == 0:
            self._set_back(self.trainer.detector)
            logging.getLogger(__name__).info(
                "Selective retraining: before iteration %d, %d tensors are set back to the start",
                self.trainer.iter,
                len(self.start_weights),
            )

    def _remember(self, detector: nn.Module) -> None:
        self.start_weights = {
            name: value.detach().clone()
            for name, value in detector.state_dict().items()
            if not name.startswith(self.kept)
        }

    @torch.no_grad()
    def _set_back(self, detector: nn.Module) -> None:
        for name, value in detector.state_dict().items():
            if name in self.start_weights:
                value.copy_(self.start_weights[name])  # shares memory with the model
        # The optimizer's moments describe the way to the weights that were given up; kept, they
        # would push the restored ones along that way again.
        for name, parameter in detector.named_parameters():
            if name in self.start_weights:
                self.trainer.optimizer.state.pop(parameter, None)

    def state_dict(self) -> dict[str, Any]:
        return {"start_weights": self.start_weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict["start_weights"].items():
            self.start_weights[name].copy_(value)
