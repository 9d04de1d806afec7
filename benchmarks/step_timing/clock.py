"""A clock that shares the time of a training step among its sections."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import torch
from torch import nn

from medmask.data.loaders import ResumableLoader
from medmask.engine.trainer import MedMaskTrainer

REST = "backward and rest"
SECTIONS = ("data", "backbone", "encoder", "decoder", "losses", "optimizer", REST)
"""The sections of a step: data, waiting for the loaders; backbone, with the neck; encoder and
decoder; losses, all else in the model's forward passes; optimizer, the update of the weights; and
what is left, most of it the backward pass."""


class StepClock:
    """Shares out time among named sections.

    A section may be entered inside of another: every moment belongs to the innermost one, and what
    belongs to none is :data:`REST`. So the sections add up to the whole.

    On a GPU it is the time of the device's stream that is shared out, and the host is not held up:
    work belongs to the section that queued it, and waiting for the host to the section that the
    host was in.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[tuple[str, Any]] = []
        self._open = [REST]

    def start(self) -> None:
        """Begin a measurement."""
        self._marks.clear()
        self._mark()

    def enter(self, name: str) -> None:
        """Begin a section."""
        self._open.append(name)
        self._mark()

    def leave(self) -> None:
        """End the innermost section."""
        self._open.pop()
        self._mark()

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Time the body of a ``with`` statement as the section ``name``."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def stop(self) -> dict[str, float]:
        """End the measurement: section -> seconds since :meth:`start`."""
        self._mark()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        seconds: Counter[str] = Counter()
        for (name, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            seconds[name] += self._seconds_between(begin, end)
        return dict(seconds)

    def _mark(self) -> None:
        self._marks.append((self._open[-1], self._now()))

    def _now(self) -> float | torch.cuda.Event:
        if self._device.type != "cuda":
            return perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    @staticmethod
    def _seconds_between(begin: Any, end: Any) -> float:
        return end - begin if isinstance(begin, float) else begin.elapsed_time(end) / 1e3


class TimedLoader:
    """A loader whose batches are timed as the section ``data``."""

    def __init__(self, loader: ResumableLoader, clock: StepClock) -> None:
        self.loader = loader
        self.clock = clock

    def iterate_from(self, iteration: int) -> Iterator[list[dict]]:
        """The batches of the loader."""
        batches = iter(self.loader.iterate_from(iteration))
        while True:
            with self.clock.section("data"):
                batch = next(batches)
            yield batch


def time_sections(trainer: MedMaskTrainer, clock: StepClock) -> None:
    """Have ``clock`` time :data:`SECTIONS` of the trainer's steps from now on.

    The trainer must not have started to train, or its batches are not seen.
    """
    detector = trainer.detector
    sections = {
        "losses": [trainer.model],
        "backbone": [detector.backbone, detector.neck],
        "encoder": [detector.transformer.encoder],
        "decoder": [detector.transformer.decoder],
    }
    if "masked_autoencoder" in detector.training_modules:
        sections["decoder"].append(detector.training_modules["masked_autoencoder"])
    for section, modules in sections.items():
        for module in modules:
            _time_module(module, clock, section)
    trainer.optimizer.register_step_pre_hook(_calling(lambda: clock.enter("optimizer")))
    trainer.optimizer.register_step_post_hook(_calling(clock.leave))
    for owner in (trainer, *trainer.loss_hooks):
        if getattr(owner, "loader", None) is not None:
            owner.loader = TimedLoader(owner.loader, clock)


def _time_module(module: nn.Module, clock: StepClock, section: str) -> None:
    module.register_forward_pre_hook(_calling(lambda: clock.enter(section)))
    module.register_forward_hook(_calling(clock.leave), always_call=True)


def _calling(action: Callable[[], None]) -> Callable[..., None]:
    """A hook that ignores what it is given."""

    def hook(*_: object) -> None:
        action()

    return hook
