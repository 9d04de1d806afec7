"""The faults of a file of detections, collected."""

import os
from collections.abc import Callable

import numpy as np

from medmask.errors import InputError
from medmask.utils.counts import counted

_FAULTS_SHOWN = 10


class Faults:
    """Collects what is wrong with a file and reports it in one sentence."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = path
        self._shown: list[str] = []
        self._count = 0

    def add_where(self, faulty: np.ndarray, describe: Callable[[int], str]) -> None:
        """Add ``describe(i)`` for every i where the (R,) mask ``faulty`` is True."""
        indices = np.flatnonzero(faulty)
        self._count += len(indices)
        self._shown += [describe(int(i)) for i in indices[: _FAULTS_SHOWN - len(self._shown)]]

    def add(self, fault: str) -> None:
        self.add_where(np.array([True]), lambda _: fault)

    def raise_if_any(self) -> None:
        if not self._count:
            return
        more = self._count - len(self._shown)
        rest = f"; and {more} more" if more else ""
        raise InputError(
            f"{self._path}: {counted(self._count, 'fault')}: {'; '.join(self._shown)}{rest}"
        )
