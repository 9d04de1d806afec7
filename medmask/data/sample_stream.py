"""The endless stream of training samples, a function of the seed alone.

Position p = 0, 1, 2, ... of the stream is image ``p mod n`` of the p // n-th shuffle of the data
set's n images, augmented by random choices of that position. Nothing depends on who computes a
sample or when: any number of workers and of processes, and a run that was interrupted and resumed,
see the same samples.
"""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

_SHUFFLES, _SAMPLES, _SEEDS = 0, 1, 2  # keep the seeds of these apart


class SampleStream(Dataset):
    """The samples of the stream by position.

    A sample gets the entry ``random_seed``, a number in [0, 2**63) for what the model draws for the
    image, such as a mask: it, too, depends on nothing but the position.

    Args:
        records: the n >= 1 records of the data set.
        mapper: turns a record into a sample; it may draw from Python's, numpy's and torch's global
            CPU generators.
        seed: of the stream, >= 0.
    """

    def __init__(
        self, records: Sequence[dict], mapper: Callable[[dict], dict[str, Any]], seed: int
    ) -> None:
        self.records = records
        self.mapper = mapper
        self.seed = seed
        self._epoch = -1
        self._order = np.empty(0, np.int64)

    def __getitem__(self, position: int) -> dict[str, Any]:
        epoch, index = divmod(position, len(self.records))
        record = self.records[int(self._shuffled(epoch)[index])]
        with seeded(self.seed, position):
            sample = self.mapper(record)
        return sample | {"random_seed": _number(self.seed, position)}

    def _shuffled(self, epoch: int) -> np.ndarray:
        """(n,) the order of the records in an epoch; the last one asked for is kept."""
        if epoch != self._epoch:
            sequence = np.random.SeedSequence(self.seed, spawn_key=(_SHUFFLES, epoch))
            self._order = np.random.default_rng(sequence).permutation(len(self.records))
            self._epoch = epoch
        return self._order


class PositionSampler(Sampler[list[int]]):
    """The positions of this process's part of each global batch, without end.

    Iteration i takes the positions i * B to (i + 1) * B - 1 of the stream, B being the global batch
    size; each process takes an equal, consecutive part of them.

    Args:
        start: the iteration to begin with.
        total_batch_size: B, a multiple of ``world_size``.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, start: int, total_batch_size: int, rank: int, world_size: int) -> None:
        self.start = start
        self.total_batch_size = total_batch_size
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[list[int]]:
        size = self.total_batch_size // self.world_size
        first = self.start * self.total_batch_size + self.rank * size
        while True:
            yield list(range(first, first + size))
            first += self.total_batch_size


def _number(seed: int, position: int) -> int:
    sequence = np.random.SeedSequence(seed, spawn_key=(_SEEDS, position))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


@contextlib.contextmanager
def seeded(seed: int, position: int) -> Iterator[None]:
    """Seed the global generators for one sample; put them back as they were on leaving.

    Python's, numpy's and torch's CPU generator are seeded, each with words of its own from
    ``numpy.random.SeedSequence(seed, spawn_key=(1, position))``. CUDA's are left alone.
    """
    words = np.random.SeedSequence(seed, spawn_key=(_SAMPLES, position)).generate_state(12)
    generator = torch.random.default_generator
    states = random.getstate(), np.random.get_state(), generator.get_state()
    random.seed(words[:2].tobytes())
    np.random.seed(words[2:10])
    generator.manual_seed(int(words[10:].view(np.uint64)[0]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        generator.set_state(states[2])
