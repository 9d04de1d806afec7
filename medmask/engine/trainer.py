"""The training loop's step: forward, backward, clip, update."""

import contextlib
import functools
import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.engine import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medmask.data.loaders import ResumableLoader
from medmask.engine.gradient_accumulation import GradientAccumulation
from medmask.engine.hook_losses import check_same_losses, join_losses
from medmask.engine.hook_states import HookStates
from medmask.engine.metric_values import Metrics, latest_metrics
from medmask.engine.missing_gradients import warn_of_missing_gradients
from medmask.engine.step_failures import StepFailures
from medmask.engine.step_snapshot import StepSnapshot
from medmask.engine.stop_request import StopRequest
from medmask.engine.trainer_checks import check_loader, check_loss_hooks
from medmask.engine.update_guard import UpdateGuard
from medmask.errors import InputError
from medmask.modeling import Domain, MedMask
from medmask.stages.loss_hook import LossHook
from medmask.utils.shared_failure import raise_together, tell_everybody


class MedMaskTrainer(TrainerBase):
    """Minimizes the sum of the detector's supervised losses and those that loss hooks add.

    One batch: :meth:`run_step` -> :meth:`supervised_losses` -> :meth:`MedMask.supervised_step` ->
    :class:`DetectionCriterion`; then the hooks' losses, and one backward pass for all.

    All randomness of the data comes from the position in the sample stream, and the rest from
    generators whose state is in the checkpoint, so a resumed run repeats what an uninterrupted one
    would have computed.

    A run that cannot go on ends after a complete step where it can. The images of an iteration are
    fetched before the update of the one before, with whose metrics the processes tell each other
    if one of them failed to or was asked by a signal to stop: all finish that step, and raise the
    same. An error on the way through a step undoes what the step has changed. Either way, hooks
    find in ``after_train`` the state after ``num_complete`` iterations, unless that is None.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: ResumableLoader,
        optimizer: torch.optim.Optimizer,
        *,
        clip_gradient_norm: float,
        amp_dtype: torch.dtype | None = None,
        gradient_accumulation: int = 1,
        loss_hooks: Sequence[LossHook] = (),
    ):
        """Create a trainer.

        Args:
            model: the detector; may be wrapped for distributed training.
            loader: the training batches of this process.
            optimizer: updates the model's parameters.
            clip_gradient_norm: largest norm of the gradient of all parameters together.
            amp_dtype: ``torch.bfloat16`` or ``torch.float16`` for mixed precision, None without.
            gradient_accumulation: batches whose gradients are averaged for one update.
            loss_hooks: at most one of each class and name of module, and of each class one with a
                state; built for the model. They are registered here, before other hooks, so that a
                checkpoint holds what they did in the iteration.

        Raises:
            InputError: a setting makes no sense.
        """
        super().__init__()
        self.storage = EventStorage()  # empty before the run
        if gradient_accumulation < 1:
            raise InputError(
                f"train.gradient_accumulation is {gradient_accumulation}, but must be at least 1"
            )
        check_loader(loader)
        check_loss_hooks(loss_hooks)
        self.model = model
        self.loader = loader
        self.optimizer = optimizer
        self.clip_gradient_norm = clip_gradient_norm
        self.gradient_accumulation = gradient_accumulation
        self.loss_hooks = list(loss_hooks)
        self.device = next(model.parameters()).device
        # Half precision loses small gradients unless the loss is scaled up; bfloat16 does not.
        self.grad_scaler = torch.amp.GradScaler(
            self.device.type, enabled=amp_dtype is torch.float16
        )
        self.stop_request = StopRequest()
        self.update_guard = UpdateGuard(self.grad_scaler)
        self.num_complete: int | None = None
        """iterations after which the model, the optimizer and the hooks are as they are now"""
        self.past_metrics: Metrics = {}
        self._gradients = GradientAccumulation(model, self.grad_scaler, amp_dtype, self.loss_hooks)
        self._failures = StepFailures(self.stop_request)
        self._hook_states = HookStates()
        self.register_hooks(self.loss_hooks)

    @property
    def detector(self) -> nn.Module:
        """The model without its wrapper for distributed training."""
        if isinstance(self.model, DistributedDataParallel):
            return self.model.module
        return self.model

    def train(self, start_iter: int, max_iter: int) -> None:
        """Run the iterations ``start_iter`` to ``max_iter - 1`` with all hooks.

        Raises:
            InputError: a loss hook would never act in a run of ``max_iter`` iterations, a sample
                cannot be loaded, or gradients stay not finite.
            StoppedBySignal: a signal came; the iteration that was under way is complete.
            FloatingPointError: a loss is NaN or infinite.
        """
        self.set_run_length(max_iter)
        self.iter = self.start_iter = start_iter
        with EventStorage(start_iter) as self.storage, self.stop_request.listening():
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    self.before_step()
                    self.run_step()
                    self.after_step()
                    is_alone = comm.get_world_size() == 1
                    self._failures.raise_after_step(is_last=is_alone or self.iter + 1 == max_iter)
                self.iter = max(start_iter, max_iter)  # tells hooks that the run was finished
            finally:
                self.after_train()

    def set_run_length(self, max_iter: int) -> None:
        """Tell all loss hooks how many iterations the run has.

        Raises:
            InputError: one of them would never act.
        """
        self.max_iter = max_iter
        for hook in self.loss_hooks:
            hook.set_run_length(max_iter)
        self._hook_states.begin(self.loss_hooks)

    def before_train(self) -> None:
        self.model.train()
        self.num_complete = self.start_iter
        self._snapshot = StepSnapshot(self.detector)
        self._batches = iter(self.loader.iterate_from(self.start_iter * self.gradient_accumulation))
        super().before_train()
        if self.start_iter < self.max_iter:
            self._load(self.start_iter)
            self._failures.raise_together()

    def after_step(self) -> None:
        super().after_step()
        if self.iter == self.start_iter:
            self._hook_states.check(self.loss_hooks)  # not hours later, at the first checkpoint

    def run_step(self) -> None:
        """Take an iteration: a labeled batch (or several, whose gradients are averaged), an update.

        Raises:
            InputError: gradients are not finite again and again.
            FloatingPointError: a loss is NaN or infinite.
        """
        self._snapshot.take()
        try:
            self._prepare_update()
        except BaseException:
            self._snapshot.restore()
            raise
        self.num_complete = None
        if self.update_guard.is_allowed:
            self.grad_scaler.step(self.optimizer)
        else:
            self._snapshot.restore_buffers()
        self.grad_scaler.update()

    def failing_after_step(self) -> contextlib.AbstractContextManager[None]:
        """Have an error that is raised in this context end the run when the step is complete.

        For what one process does alone, such as writing files.
        """
        return self._failures.collecting()

    def _prepare_update(self) -> None:
        """Everything before the update, which is the first to change what must not be undone."""
        self.optimizer.zero_grad()
        losses = self._gradients.add(self._loaded, self._compute_losses)
        if self.iter == self.start_iter:
            warn_of_missing_gradients(self.detector)
        self.after_backward()
        self.grad_scaler.unscale_(self.optimizer)
        gradient_norm = nn.utils.clip_grad_norm_(
            self.model.parameters(), self.clip_gradient_norm, foreach=True
        )
        start = time.perf_counter()
        if self.iter + 1 < self.max_iter:
            self._load(self.iter + 1)
        self._exchange(losses, gradient_norm, time.perf_counter() - start)

    def _load(self, iteration: int) -> None:
        """Fetch all batches of an iteration; takes note of a failure, or of a signal meanwhile."""
        self._failures.run_interruptible(functools.partial(self._fetch, iteration))

    def _fetch(self, iteration: int) -> None:
        self._loaded = [next(self._batches) for _ in range(self.gradient_accumulation)]
        for hook in self.loss_hooks:
            hook.load(iteration)

    def supervised_losses(
        self,
        batch: list[dict],
        domain: Domain,
        weight: float = 1.0,
        classes_only: bool = False,
    ) -> dict[str, Tensor]:
        """Take a supervised step, and add the losses of loss hooks on its outputs.

        Args:
            batch: samples with ``instances``.
            domain: of its images; target losses are named ``..._target``.
            weight: of the supervised losses, such as those on boxes which are guesses; the losses
                of loss hooks have weights of their own.
            classes_only: whether to leave out the supervised losses on boxes.
        """
        options = {"domain": domain, "classes_only": classes_only}
        step = self.model(batch, step=functools.partial(MedMask.supervised_step, **options))
        losses = {name: weight * loss for name, loss in step.losses.items()}
        for hook in self.loss_hooks:
            losses = join_losses(losses, hook, hook.output_losses(step))
        if domain is Domain.TARGET:
            losses = {f"{name}_target": loss for name, loss in losses.items()}
        return losses

    def _compute_losses(self, batch: list[dict]) -> dict[str, Tensor]:
        """Compute the losses of a labeled batch, and those of steps of the hooks' own."""
        for hook in self.loss_hooks:
            batch = hook.prepare_batch(batch)
        losses = self.supervised_losses(batch, Domain.SOURCE)
        for hook in self.loss_hooks:
            losses = join_losses(losses, hook, hook.step_losses())
        return losses

    def _exchange(self, losses: dict[str, Tensor], gradient_norm: Tensor, data_time: float) -> None:
        """Tell all processes the losses and failures of each, and the event storage the mean."""
        names = [*losses, "gradient_norm"]
        # One transfer for all values; it waits for the device once per step.
        values = torch.stack([x.float() for x in (*losses.values(), gradient_norm)])
        own = dict(zip(names, values.tolist(), strict=True))
        everybody = tell_everybody((own, data_time, self._failures.message()))
        check_same_losses([values for values, *_ in everybody])
        self._failures.share([failure for *_, failure in everybody])
        mean = {name: sum(m[name] for m, *_ in everybody) / len(everybody) for name in names}
        total = sum(mean[name] for name in losses)
        if not math.isfinite(total):
            raise_together(
                FloatingPointError(
                    f"the loss is not finite at iteration {self.iter}: {mean}; the run stops "
                    "before the update: lower optimizer.lr, or switch train.amp.enabled off"
                )
            )
        try:
            self.update_guard.judge(mean.pop("gradient_norm"), self.iter)
        except InputError as error:
            raise_together(error)
        if not comm.is_main_process():
            return
        # What the slowest process waited for is what the step waited for.
        self.storage.put_scalar("data_time", max(seconds for _, seconds, _ in everybody))
        self.storage.put_scalars(total_loss=total, **mean, **self.update_guard.metrics())

    def state_dict(self) -> dict[str, Any]:
        self._hook_states.check(self.loss_hooks)
        return super().state_dict() | {
            "grad_scaler": self.grad_scaler.state_dict(),
            "update_guard": self.update_guard.state_dict(),
            "metrics": latest_metrics(self.storage, self.past_metrics),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        known = state_dict.get("hooks", {})
        for hook in self.loss_hooks:
            name = type(hook).__qualname__
            if hook.state_dict() and name not in known:
                raise InputError(
                    f"the checkpoint has no state of the loss hook {name}, so its run had other "
                    "loss_hooks: resume with the config of that run, or start a new one from its "
                    "weights (train.init_checkpoint)"
                )
        super().load_state_dict(state_dict)
        self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
        self.update_guard.load_state_dict(state_dict["update_guard"])
        self.past_metrics = state_dict["metrics"]
