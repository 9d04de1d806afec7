"""Shares of the time of a run of predictions."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TypeVar

Item = TypeVar("Item")


@dataclass
class StageSeconds:
    """Seconds of the stages of a run.

    Attributes:
        reading: of decoding and preparing images, summed over all processes that do.
        waiting: of the process with the model, for images; with no workers it is that of reading.
        model: of detection.
        drawing: of pictures.
        writing: of records and pictures.
    """

    reading: float = 0.0
    waiting: float = 0.0
    model: float = 0.0
    drawing: float = 0.0
    writing: float = 0.0

    def add(self, others: "StageSeconds") -> None:
        """Add those of another process."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(others, field.name))

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time in this context to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.perf_counter() - start)

    def measure_waiting(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items on, and add the time until each comes to ``waiting``."""
        iterator = iter(items)
        while True:
            with self.measure("waiting"):
                item = next(iterator, None)
            if item is None:
                return
            yield item
