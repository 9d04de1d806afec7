"""Stages of the method as hooks that add losses to a step."""

import contextlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from detectron2.engine import HookBase
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from medmask.data.loaders import TrainLoader
from medmask.errors import InputError
from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.stages.learning import LearningMeasure, Sample


class StageTrainer(Protocol):
    """All that a loss hook may ask of the trainer."""

    model: nn.Module
    """the detector in its wrapper for distributed training, if there is one; training steps go
    through it: ``trainer.model(batch, step=...)``"""
    loader: TrainLoader
    """of the labeled images"""
    optimizer: torch.optim.Optimizer
    loss_hooks: Sequence["LossHook"]
    """of the run, this one included"""
    iter: int
    """number of the iteration that is under way, from 0 on"""
    start_iter: int
    """the first iteration after start or resume"""
    max_iter: int
    """iterations of the whole run"""
    gradient_accumulation: int
    """batches of an iteration"""
    grad_scaler: torch.amp.GradScaler
    """scales the sum of the losses up for the backward pass in half precision"""
    storage: EventStorage
    """of metrics and pictures"""

    @property
    def detector(self) -> MedMask:
        """The bare detector."""

    def supervised_losses(
        self,
        batch: list[dict],
        domain: Domain,
        weight: float = 1.0,
        classes_only: bool = False,
    ) -> dict[str, Tensor]:
        """Take a supervised step, and add the losses of all loss hooks on its outputs."""

    def failing_after_step(self) -> contextlib.AbstractContextManager[None]:
        """Have an error in this context end the run when the iteration is complete."""


class LossHook(HookBase):
    """Adds named, weighted losses to every step, as a stage of training does.

    Before the optimizer and the wrapper for distributed training are made, :meth:`build` gives the
    hook the bare detector; a hook that trains a module of its own makes it there from the
    detector's sizes, and hands it to :meth:`register_module`. Before the first iteration
    :meth:`set_run_length` tells how many there will be. One iteration of ``MedMaskTrainer`` looks
    like this, with what a loss hook can do in it::

        hook.before_step()
        hook.prepare_batch(batch)            changes to the labeled images
        supervised step on the labeled batch
        hook.output_losses(step)             losses on its outputs
        hook.step_losses()                   losses of steps of the hook's own
        hook.before_backward(losses)         a look at all losses of the batch
        backward
        hook.after_backward()
        clip
        hook.load(iteration + 1)             the images of the next iteration
        update
        hook.after_step()                    schedules, averages of weights, all other state

    The losses of all hooks are back-propagated together with the supervised ones. The detector's
    forward computations go through ``self.trainer.model``, with a step (see
    :meth:`MedMask.forward`), or through ``self.trainer.supervised_losses`` for a supervised step
    that other hooks may build on; the hook's own module is called as it is. Every parameter that is
    trained must take part in every iteration.

    A hook with a loader draws batches from it by :meth:`next_batch`; after a resume the samples go
    on where they stopped. All other state belongs into ``state_dict`` and ``load_state_dict``: a
    resumed run must repeat what an uninterrupted one would have computed. It changes in
    :meth:`after_step` only (and in ``before_step`` in a way that can be repeated), so that a step
    that fails on its way leaves the state of the last complete one.
    """

    module_name: str
    """name of the hook's module among the detector's ``training_modules``, if it has one"""
    makes_target_steps: ClassVar[bool] = False
    """true if :meth:`step_losses` takes supervised steps on target images"""
    module: nn.Module
    """the hook's own, once it is built"""
    trainer: StageTrainer

    def __init__(self, loader: TrainLoader | None = None) -> None:
        """Create the hook.

        Args:
            loader: the hook's own images, such as unlabeled ones.
        """
        self.loader = loader
        self._loaded: deque[list[dict[str, Any]]] = deque()

    def build(self, detector: MedMask) -> None:
        """Prepare for the bare detector, and make what only training uses.

        Called once, before the optimizer, the wrapper for distributed training and the loading of
        any checkpoint.

        Args:
            detector: on its device.

        Raises:
            InputError: the hook cannot work with this detector.
        """

    def register_module(self, detector: MedMask, module: nn.Module) -> None:
        """Own a module: :attr:`module`, trained and saved with the detector.

        Its parameters are called ``training_modules.<module_name>...`` in optimizer options and
        checkpoints.

        Args:
            detector: the one that :meth:`build` is given.
            module: moved to the detector's device.

        Raises:
            InputError: there is a module of that name.
        """
        if self.module_name in detector.training_modules:
            raise InputError(
                f"loss_hooks holds two that train a module {self.module_name}: a run can have one"
            )
        self.module = module.to(detector.device)
        detector.training_modules[self.module_name] = self.module

    def set_run_length(self, max_iter: int) -> None:
        """Turn periods, which may be shares of the run, into iterations; called before the first.

        Args:
            max_iter: iterations of the whole run.

        Raises:
            InputError: something that the hook is to do would never happen in so short a run.
        """

    def before_train(self) -> None:
        """Begin to draw batches.

        Raises:
            InputError: the trainer would never ask for the losses of this hook.
        """
        if not any(hook is self for hook in getattr(self.trainer, "loss_hooks", ())):
            name = type(self).__name__
            raise InputError(
                f"{name} is a loss hook, and would add no loss as it was registered here: give it "
                "to medmask.engine.MedMaskTrainer as one of its loss_hooks, built for the model, "
                "instead of register_hooks; Detectron2's trainers know of no such losses"
            )
        if self.loader is not None:
            start = self.trainer.start_iter * self.trainer.gradient_accumulation
            self._batches = iter(self.loader.iterate_from(start))

    def needs_batches(self, iteration: int) -> bool:
        """Tell whether :meth:`step_losses` draws a batch for each labeled one of an iteration."""
        return self.loader is not None

    def load(self, iteration: int) -> None:
        """Fetch the batches of an iteration, before the model sees any of them.

        Raises:
            InputError: a sample cannot be loaded.
        """
        self._loaded.clear()
        if self.needs_batches(iteration):
            for _ in range(self.trainer.gradient_accumulation):
                self._loaded.append(next(self._batches))

    def next_batch(self) -> list[dict[str, Any]]:
        """Take the next batch of the hook's loader."""
        return self._loaded.popleft()

    def prepare_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Change a labeled batch before the supervised step, or return it as it is.

        Args:
            batch: samples with ``instances``, of the mapper or as another hook left them; they are
                not to be changed in place.
        """
        return batch

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        """Compute weighted losses on the outputs of a supervised step.

        Args:
            step: on labeled images, or, by ``step.domain``, on target images.
        """
        return {}

    def step_losses(self) -> dict[str, Tensor]:
        """Compute weighted losses of steps of the hook's own, on batches of its loader."""
        return {}

    def before_backward(self, losses: Mapping[str, Tensor]) -> None:
        """Look at all losses of a batch, before their backward pass.

        Args:
            losses: name -> weighted loss, with its graph, as it is summed for the backward pass:
                divided by the batches of the iteration.
        """

    def check_held_out(self, records: Sequence[dict[str, Any]]) -> None:
        """Check, before the first iteration, what :meth:`measure_learning` will be given.

        Called in the main process alone, after :meth:`build`.

        Args:
            records: of the held-out images, in Detectron2's format.

        Raises:
            InputError: the stage could not be measured on these images.
        """

    def measure_learning(self, samples: Iterable[Sample]) -> Mapping[str, LearningMeasure]:
        """Measure on held-out images what the stage has learned so far.

        Called in the main process alone, so it must not exchange anything with others; it leaves
        the model and the random generators as they are.

        Args:
            samples: one image at a time, loaded on the way; always the same ones.

        Returns:
            Name -> measure, such as ``mae/R2_res5``; none where the stage has nothing to measure or
            does not act any more.
        """
        return {}

    def last_iteration(self) -> int:
        """Count the iterations after which the stage acts no more: those of the run, or fewer."""
        return self.trainer.max_iter

    def extra_models(self) -> Mapping[str, nn.Module]:
        """Name the models that the stage gives besides the trained one.

        They are evaluated with it; their weights are saved as ``<name>_best.pth`` and
        ``<name>_final.pth``.
        """
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` gave."""
