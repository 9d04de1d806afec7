"""Losses of an iteration's batches and their gradients, in mixed precision or several processes."""

import contextlib
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medmask.stages.loss_hook import LossHook

Batch = list[dict]
Losses = dict[str, Tensor]
"""name -> weighted loss, a scalar"""


class GradientAccumulation:
    """Adds the gradient of the mean of an iteration's batches to that of a model's parameters."""

    def __init__(
        self,
        model: nn.Module,
        grad_scaler: torch.amp.GradScaler,
        amp_dtype: torch.dtype | None,
        loss_hooks: Sequence[LossHook],
    ) -> None:
        """Join the parts.

        Args:
            model: may be wrapped for distributed training.
            grad_scaler: scales the sum of the losses up for the backward pass, if it is enabled.
            amp_dtype: of mixed precision, None without.
            loss_hooks: look at all losses of a batch before its backward pass.
        """
        self._model = model
        self._grad_scaler = grad_scaler
        self._amp_dtype = amp_dtype
        self._loss_hooks = loss_hooks
        self._device_type = next(model.parameters()).device.type

    def add(self, batches: Sequence[Batch], compute_losses: Callable[[Batch], Losses]) -> Losses:
        """Add the gradient of the sum of the losses, averaged over batches and processes.

        Args:
            batches: of the iteration.
            compute_losses: of one of them; through the model.

        Returns:
            The means over the batches, without their graph.
        """
        means: Losses = {}
        for i, batch in enumerate(batches):
            is_last = i + 1 == len(batches)
            # Gradients of the processes are averaged once, with the last batch.
            with contextlib.nullcontext() if is_last else self._without_averaging():
                with torch.autocast(
                    self._device_type, dtype=self._amp_dtype, enabled=self._amp_dtype is not None
                ):
                    losses = compute_losses(batch)
                losses = {name: loss / len(batches) for name, loss in losses.items()}
                for hook in self._loss_hooks:
                    hook.before_backward(losses)
                total = functools.reduce(torch.add, losses.values())
                self._grad_scaler.scale(total).backward()
            for name, loss in losses.items():
                means[name] = means.get(name, 0) + loss.detach()
        return means

    def _without_averaging(self) -> contextlib.AbstractContextManager:
        if isinstance(self._model, DistributedDataParallel):
            return self._model.no_sync()
        return contextlib.nullcontext()
