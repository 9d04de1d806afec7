"""Selective retraining (as in MRT, Zhao et al., 2023): start again, but keep the decoder.

The student's backbone and encoder drift towards the noise of its pseudo labels. Setting them back
now and then gives them another way from the same start, under a decoder and a teacher that have
learned since.
"""

from typing import Any

import torch
from torch import Tensor, nn

from medmask.engine.loss_hook import LossHook
from medmask.errors import InputError
from medmask.modeling import MedMask

KEPT = ("transformer.decoder.", "training_modules.")
"""Prefixes of the parameters that are never set back: the decoder with its heads, and what only
training uses"""


class SelectiveRetrainingHook(LossHook):
    """Sets all but the decoder back to the weights that the stage started from, now and then.

    It does so before the first iteration of every ``epochs``-th epoch of the labelled data, so what
    is evaluated and saved at an epoch's end is the trained model. The neck and the queries (of a
    two-stage detector: the proposals) are set back with backbone and encoder, BatchNorm statistics
    with the weights; a teacher is left alone.

    The start weights are part of the checkpoint, so that a resumed run needs no other file.
    """

    def __init__(self, *, epochs: int) -> None:
        """Create the hook.

        Args:
            epochs: from one reset to the next, in epochs of the labelled data.

        Raises:
            InputError: ``epochs`` is less than 1.
        """
        super().__init__()
        if epochs < 1:
            raise InputError(f"SelectiveRetrainingHook: epochs is {epochs}, but must be at least 1")
        self.epochs = epochs
        self.start_weights: dict[str, Tensor] = {}

    def build(self, detector: MedMask) -> None:
        self._remember(detector)  # so that a checkpoint without a state is refused

    def before_train(self) -> None:
        if self.trainer.start_iter == 0:
            self._remember(self.trainer.detector)

    def before_step(self) -> None:
        period = self.epochs * self.iterations_per_epoch
        if self.trainer.iter > 0 and self.trainer.iter % period == 0:
            self._set_back(self.trainer.detector)

    def _remember(self, detector: nn.Module) -> None:
        self.start_weights = {
            name: value.detach().clone()
            for name, value in detector.state_dict().items()
            if not name.startswith(KEPT)
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
