"""Stages of the method as hooks that add losses to a step."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from detectron2.engine import HookBase
from torch import Tensor, nn

from medmask.errors import InputError
from medmask.modeling import DetectionPass, MedMask

if TYPE_CHECKING:
    from medmask.data.loaders import TrainLoader
    from medmask.engine.trainer import MedMaskTrainer


class LossHook(HookBase):
    """Adds named, weighted losses to every step; what a stage of training consists of.

    Before the optimizer and the wrapper for distributed training are made, :meth:`build` gives the
    hook the bare detector; a hook that trains a module of its own makes it there from the
    detector's sizes, and hands it to :meth:`register_module`. Before the first iteration
    :meth:`set_run_length` tells how many there will be. One iteration of :class:`MedMaskTrainer`
    looks like this, with what a loss hook can do in it::

        hook.before_step()
        loss of the labelled batch        <- hook.pass_losses(model, detection): losses on this pass
        hook.step_losses()                   losses of passes of the hook's own
        backward, clip
        hook.load(iteration + 1)             the images of the next iteration
        update
        hook.after_step()                    schedules, averages of weights, all other state

    The losses of all hooks are back-propagated together with the supervised ones. Forward passes go
    through ``self.trainer.model`` (wrapped for distributed training), with an objective (see
    :meth:`MedMask.forward`), or through ``self.trainer.detection_losses`` for a supervised pass
    that other hooks may build on. Every parameter that is trained must take part in every step.

    A hook with a loader draws batches from it by :meth:`next_batch`; after a resume the stream goes
    on where it stopped. All other state belongs into ``state_dict`` and ``load_state_dict``: a
    resumed run must repeat what an uninterrupted one would have computed. It changes in
    :meth:`after_step` only (and in ``before_step`` in a way that can be repeated), so that a step
    that fails on its way leaves the state of the last complete one.
    """

    module_name: ClassVar[str]
    """name of the hook's module among the detector's ``training_modules``, if it has one"""
    module: nn.Module
    trainer: MedMaskTrainer

    def __init__(self, loader: TrainLoader | None = None) -> None:
        """Create the hook.

        Args:
            loader: the hook's own images, such as unlabelled ones.
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
            detector: what :meth:`build` is given.
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
        if self.loader is not None:
            start = self.trainer.start_iter * self.trainer.gradient_accumulation
            self._batches = iter(self.loader.iterate_from(start))

    def needs_batches(self, iteration: int) -> bool:
        """Whether :meth:`step_losses` draws a batch in each labelled one of an iteration."""
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
        """The next batch of the hook's loader."""
        return self._loaded.popleft()

    def step_losses(self) -> dict[str, Tensor]:
        """Weighted losses of passes of the hook's own."""
        return {}

    def pass_losses(self, model: MedMask, detection: DetectionPass) -> dict[str, Tensor]:
        """Weighted losses on a supervised pass that is under way.

        Args:
            model: the bare detector.
            detection: what the pass computed; ``detection.domain`` tells whose images it saw.
        """
        return {}

    def extra_models(self) -> Mapping[str, nn.Module]:
        """Models that the stage gives besides the trained one, by name.

        They are evaluated with it; their weights are saved as ``<name>_best.pth`` and
        ``<name>_final.pth``.
        """
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
