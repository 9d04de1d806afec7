"""A copy of all that a training step changes before its update, to undo a step that fails."""

import torch
from torch import nn

from medmask.utils.random_state import get_random_state, set_random_state


class StepSnapshot:
    """The buffers of a model and the random generators as they were at the beginning of a step.

    Forward passes move BatchNorm statistics, fill queues and draw for dropout. Parameters, the
    optimizer and the state of hooks change with or after the update only.
    """

    def __init__(self, model: nn.Module) -> None:
        """Create the snapshot of a model that is on its device."""
        self._buffers = list(model.buffers())
        self._copies = [buffer.clone() for buffer in self._buffers]
        self._random_state = get_random_state()

    @torch.no_grad()
    def take(self) -> None:
        """Remember how things are now."""
        for copy, buffer in zip(self._copies, self._buffers, strict=True):
            copy.copy_(buffer, non_blocking=True)
        self._random_state = get_random_state()

    @torch.no_grad()
    def restore_buffers(self) -> None:
        """Put the buffers back as they were."""
        for copy, buffer in zip(self._copies, self._buffers, strict=True):
            buffer.copy_(copy)

    def restore(self) -> None:
        """Put everything back as it was."""
        self.restore_buffers()
        set_random_state(self._random_state)
