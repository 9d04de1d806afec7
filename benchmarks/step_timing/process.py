"""A training run in a process of its own that takes steps when it is told to.

Several can take turns, so that whatever else the machine does slows all of them alike, and none
counts another's memory.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import torch
from omegaconf import DictConfig

from medmask.config.loading import load_config
from medmask.engine.run import build_model, build_trainer
from medmask.errors import InputError
from medmask.layers import ms_deform_attn_fused_pytorch
from medmask.layers.deformable_attention import attention as deformable_attention
from medmask.utils.memory import keep_freed_memory
from medmask.utils.parent import become_worker
from step_timing.benchmark import ready_to_step, use_random_images
from step_timing.clock import StepClock, watch

OPERATORS = ("medmask", "grid_sample")
"""Implementations of deformable attention: the fastest there is here, and plain PyTorch."""

Seconds = dict[str, float]
"""How long each section of a step took."""


@dataclass(frozen=True)
class StepProcessOptions:
    """What a process trains."""

    config_file: str
    overrides: Sequence[str]
    operator: str
    """one of :data:`OPERATORS`"""
    random_image_size: tuple[int, int] | None
    """(height, width) in pixels of noise; None trains with the config's data"""


class StepProcess:
    """Talks to the process; a context manager, on leaving which it ends."""

    def __init__(self, options: StepProcessOptions) -> None:
        """Start the process and wait until it is ready.

        Raises:
            InputError: the run cannot start.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        # Not a daemon: the loader has worker processes of its own.
        self._process = context.Process(target=_serve, args=(theirs, options))
        self._process.start()
        theirs.close()
        self.device: str = self._receive()

    def take_steps(self, count: int) -> list[Seconds]:
        """Take some steps, the others waiting."""
        self._connection.send(count)
        return self._receive()

    def peak_bytes(self) -> int:
        """The most memory that was in use at any time, see :func:`peak_memory`."""
        self._connection.send("peak memory")
        return self._receive()

    def _receive(self):
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


def _serve(connection: Connection, options: StepProcessOptions) -> None:
    """Answer until the other side goes away."""
    become_worker()
    try:
        _answer(connection, options)
    except InputError as error:
        connection.send(error)
    except EOFError:
        pass


def _answer(connection: Connection, options: StepProcessOptions) -> None:
    if options.operator == "grid_sample":
        deformable_attention.ms_deform_attn_fused = ms_deform_attn_fused_pytorch
    keep_freed_memory()
    config = _load(options)
    trainer = build_trainer(config, build_model(config))
    clock = StepClock(trainer.device)
    with watch(trainer, clock), ready_to_step([trainer], config.train.max_iter) as take_step:
        connection.send(trainer.device.type)
        while True:
            order = connection.recv()
            if order == "peak memory":
                connection.send(peak_memory(trainer.device))
                continue
            steps = []
            for _ in range(order):
                clock.start()
                take_step(trainer)
                steps.append(clock.stop())
            connection.send(steps)


def _load(options: StepProcessOptions) -> DictConfig:
    config = load_config(options.config_file, options.overrides)
    config.train.eval_period = 0  # no pictures of reconstructions on the way
    if options.random_image_size:
        use_random_images(config, *options.random_image_size)
    return config
