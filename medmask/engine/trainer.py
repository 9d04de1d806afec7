"""The training loop's step: forward, backward, clip, update."""

import time
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from detectron2.engine import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import Tensor, nn


class TrainLoader(Protocol):
    """An endless source of batches that can start anywhere."""

    def iterate_from(self, iteration: int) -> Iterable[list[dict]]:
        """The batches of the iterations ``iteration``, ``iteration + 1``, ..."""
        ...


class MedMaskTrainer(TrainerBase):
    """Minimises the sum of the losses that the model returns.

    All randomness of the data comes from the position in the sample stream, and the rest from
    generators whose state is in the checkpoint, so a resumed run repeats what an uninterrupted one
    would have computed.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: TrainLoader,
        optimizer: torch.optim.Optimizer,
        *,
        clip_gradient_norm: float,
        amp_dtype: torch.dtype | None = None,
    ):
        """Create a trainer.

        Args:
            model: returns a dict of losses in training mode; may be wrapped for distributed use.
            loader: the training batches of this process.
            optimizer: updates the model's parameters.
            clip_gradient_norm: largest norm of the gradient of all parameters together.
            amp_dtype: ``torch.bfloat16`` or ``torch.float16`` for mixed precision, None without.
        """
        super().__init__()
        self.model = model
        self.loader = loader
        self.optimizer = optimizer
        self.clip_gradient_norm = clip_gradient_norm
        self.amp_dtype = amp_dtype
        self.device = next(model.parameters()).device
        # Half precision loses small gradients unless the loss is scaled up; bfloat16 does not.
        self.grad_scaler = torch.amp.GradScaler(
            self.device.type, enabled=amp_dtype is torch.float16
        )

    def train(self, start_iter: int, max_iter: int) -> None:
        """Run the iterations ``start_iter`` to ``max_iter - 1`` with all hooks."""
        self.iter = self.start_iter = start_iter
        self.max_iter = max_iter
        with EventStorage(start_iter) as self.storage:
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    self.before_step()
                    self.run_step()
                    self.after_step()
                self.iter += 1  # tells hooks that the run was finished
            finally:
                self.after_train()

    def before_train(self) -> None:
        self.model.train()
        self._batches = iter(self.loader.iterate_from(self.start_iter))
        super().before_train()

    def run_step(self) -> None:
        """One iteration on one batch.

        Raises:
            FloatingPointError: a loss is NaN or infinite.
        """
        start = time.perf_counter()
        batch = next(self._batches)
        data_time = time.perf_counter() - start

        with torch.autocast(
            self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        ):
            losses = self.model(batch)
        self.optimizer.zero_grad()
        self.grad_scaler.scale(sum(losses.values())).backward()
        self.after_backward()
        self.grad_scaler.unscale_(self.optimizer)
        gradient_norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_gradient_norm)
        self._write_metrics(losses, gradient_norm, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _write_metrics(
        self, losses: dict[str, Tensor], gradient_norm: Tensor, data_time: float
    ) -> None:
        """Put the losses, averaged over processes, into the event storage."""
        names = [*losses, "gradient_norm"]
        # One transfer for all values; it waits for the device once per step.
        values = torch.stack([x.detach().float() for x in (*losses.values(), gradient_norm)])
        everybody = comm.gather((dict(zip(names, values.tolist(), strict=True)), data_time))
        if not comm.is_main_process():
            return
        mean = {name: sum(m[name] for m, _ in everybody) / len(everybody) for name in names}
        total = sum(mean[name] for name in losses)
        if not abs(total) < float("inf"):
            raise FloatingPointError(
                f"the loss is not finite at iteration {self.iter}: {mean}; the run stops before "
                "the update: lower optimizer.lr, or switch train.amp.enabled off"
            )
        # What the slowest process waited for is what the step waited for.
        self.storage.put_scalar("data_time", max(seconds for _, seconds in everybody))
        self.storage.put_scalars(total_loss=total, **mean)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
