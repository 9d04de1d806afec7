"""Where the time of a training step goes."""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from medmask.engine.trainer import MedMaskTrainer

REST = "rest"
SECTIONS = (
    "data",
    "backbone",
    "encoder",
    "decoder",
    "matching",
    "losses",
    "backward",
    "optimizer",
    REST,
)
"""The parts of a step. Backbone includes the neck, decoder that of a masked autoencoder, optimizer
the clipping; what a gradient checkpoint computes again is part of backward."""


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

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """What runs within belongs to ``name``."""
        self._open.append(name)
        self._mark()
        try:
            yield
        finally:
            self._open.pop()
            self._mark()

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


@contextlib.contextmanager
def watch(trainer: MedMaskTrainer, clock: StepClock) -> Iterator[None]:
    """Have ``clock`` time :data:`SECTIONS` of the trainer's steps while in this context.

    The trainer must not have started to train, or its batches are not seen.
    """
    detector, criterion = trainer.detector, trainer.detector.criterion
    calls = [
        (detector.backbone, "forward", "backbone"),
        (detector.neck, "forward", "backbone"),
        (detector.transformer, "encode", "encoder"),
        (detector.transformer, "decode", "decoder"),
        (criterion, "match_and_penalise", "losses"),
        (Tensor, "backward", "backward"),
        (trainer.optimizer, "zero_grad", "optimizer"),
        (trainer.optimizer, "step", "optimizer"),
        (nn.utils, "clip_grad_norm_", "optimizer"),
    ]
    if "masked_autoencoder" in detector.training_modules:
        calls.append((detector.training_modules["masked_autoencoder"], "forward", "decoder"))
    for matcher in {type(criterion.matcher), type(criterion.proposal_matcher)}:
        calls.append((matcher, "__call__", "matching"))
    loaders = [trainer.loader, *(hook.loader for hook in trainer.loss_hooks if hook.loader)]
    with contextlib.ExitStack() as patches:
        for owner, name, section in calls:
            timed = _timed(getattr(owner, name), clock, section)
            patches.enter_context(mock.patch.object(owner, name, timed))
        for loader in loaders:
            timed_loading = functools.partial(_timed_batches, loader.iterate_from, clock)
            patches.enter_context(mock.patch.object(loader, "iterate_from", timed_loading))
        yield


def _timed(function: Callable[..., Any], clock: StepClock, section: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.section(section):
            return function(*args, **kwargs)

    return timed


def _timed_batches(
    iterate_from: Callable[[int], Iterable[list[dict]]], clock: StepClock, iteration: int
) -> Iterator[list[dict]]:
    batches = iter(iterate_from(iteration))
    while True:
        with clock.section("data"):
            batch = next(batches)
        yield batch
