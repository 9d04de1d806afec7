"""A training run in a process of its own that takes steps when it is told to.

Several can take turns, so that whatever else the machine does slows all of them alike, and none
counts another's memory.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from medmask.config import load_config
from medmask.engine.building import build_model, build_trainer
from medmask.engine.memory import keep_freed_memory
from medmask.errors import InputError
from medmask.layers import ms_deform_attn_fused_pytorch
from medmask.utils.parent_process import become_worker
from step_timing.clock import StepClock, time_sections
from step_timing.stepping import ready_to_step, use_random_images

Seconds = dict[str, float]
"""Section of a step -> how long it took."""


@dataclass(frozen=True)
class Run:
    """Settings of a process: the config that it trains, and changes to it."""

    config_file: str
    overrides: Sequence[str]
    random_image_size: tuple[int, int] | None = None
    """(height, width) in pixels of noise; None trains with the config's data"""
    has_loss_hooks: bool = True
    """False leaves out the config's loss hooks: it is stage 1 then"""
    uses_grid_sample: bool = False
    """True takes deformable attention in plain PyTorch"""
    gradient_norm_period: int | None = None
    """steps from one measurement of each loss's gradient to the next; None for the config's"""
    environment: Mapping[str, str] = field(default_factory=dict)
    """variables of the process"""


class StepProcess:
    """Talks to the process; a context manager, on leaving which it ends."""

    def __init__(self, run: Run) -> None:
        """Start the process and wait until it is ready.

        Raises:
            InputError: the run cannot start.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        # Not a daemon: the loader has worker processes of its own.
        self._process = context.Process(target=_serve, args=(theirs, run))
        with _environment(run.environment):
            self._process.start()
        theirs.close()
        self.facts: dict[str, Any] = self._receive()
        """``device`` (its type), ``threads`` of the process, ``images`` of a step, and the config's
        ``gradient_norm_period``"""

    def take_steps(self, count: int) -> list[Seconds]:
        """Take some steps, the others waiting."""
        self._connection.send(count)
        return self._receive()

    def peak_bytes(self) -> int:
        """The most memory that was in use at any time, see :func:`peak_memory`."""
        self._connection.send("peak memory")
        return self._receive()

    def _receive(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(
                f"the process that takes the steps ended with status {self._process.exitcode}"
            ) from None
        if isinstance(answer, InputError):
            self._process.join()
            raise answer
        return answer

    def __enter__(self) -> StepProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._process.join()


def peak_memory(device: torch.device) -> int:
    """Bytes: what PyTorch had allocated on a GPU; what this process had resident on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kilobytes = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kilobytes[1])


def use_grid_sample() -> torch.library.Library:
    """Have the fused operator be plain PyTorch, with PyTorch's own gradients.

    Returns:
        What must be kept for as long as this is to hold.
    """
    library = torch.library.Library("medmask", "IMPL")
    for key in ("AutogradCPU", "AutogradCUDA"):
        library.impl("ms_deform_attn_fused", ms_deform_attn_fused_pytorch, key)
    return library


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Processes that start in this context get the variables."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(connection: Connection, run: Run) -> None:
    """Answer until the other side goes away."""
    become_worker()
    try:
        _answer(connection, run)
    except InputError as error:
        connection.send(error)
    except EOFError:
        pass


def _answer(connection: Connection, run: Run) -> None:
    _library = use_grid_sample() if run.uses_grid_sample else None
    keep_freed_memory()
    config = load_config(run.config_file, run.overrides)
    config.train.eval_period = 0  # no pictures of reconstructions on the way
    if not run.has_loss_hooks:
        # with the rates of what they would train
        for name in config.loss_hooks:
            config.optimizer.params.lr_factors.pop(name, None)
        config.loss_hooks = {}
    own_period = config.train.gradient_norm_period
    if run.gradient_norm_period is not None:
        config.train.gradient_norm_period = run.gradient_norm_period
    if run.random_image_size:
        use_random_images(config, *run.random_image_size)
    trainer = build_trainer(config, build_model(config))
    clock = StepClock(trainer.device)
    time_sections(trainer, clock)
    facts = {
        "device": trainer.device.type,
        "threads": torch.get_num_threads(),
        "images": config.dataloader.train.total_batch_size * config.train.gradient_accumulation,
        "gradient_norm_period": own_period,
    }
    with ready_to_step(trainer, config.train.max_iter) as take_step:
        connection.send(facts)
        while True:
            order = connection.recv()
            if order == "peak memory":
                connection.send(peak_memory(trainer.device))
                continue
            steps = []
            for _ in range(order):
                clock.start()
                take_step()
                steps.append(clock.stop())
            connection.send(steps)
