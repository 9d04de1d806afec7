"""The endless stream of training samples, a function of the seed alone.

Sample i = 0, 1, 2, ... is an image that an :class:`~medmask.data.image_order.ImageOrder` names,
augmented by random choices of that index. Nothing depends on who computes a sample or when: any
number of workers and of processes, and a run that was interrupted and resumed, see the same
samples.
"""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from medmask.data.image_order import ImageOrder, ShuffledOrder
from medmask.data.mapper_errors import map_image
from medmask.data.sample_mix import SampleMix

_SAMPLES, _SEEDS = 1, 2  # keep the seeds of these apart, and of shuffles; see image_order.py


class SampleStream(Dataset[dict[str, Any]]):
    """The samples of the stream by their index.

    A sample gets the entry ``random_seed``, a number in [0, 2**63) for what the model draws for the
    image, such as a mask: it, too, depends on nothing but the sample index.

    Args:
        dataset_dicts: of the n >= 1 images of the data set.
        mapper: turns a dataset dict into a sample; it may draw from Python's, numpy's and torch's
            global CPU generators.
        seed: of the stream, >= 0.
        mix: changes some samples by one of another image.
        order: of the images; by default one shuffle of them after the other.

    Raises:
        InputError: there is no image that ``mix`` could take from.
    """

    def __init__(
        self,
        dataset_dicts: Sequence[dict],
        mapper: Callable[[dict], dict[str, Any]],
        seed: int,
        *,
        mix: SampleMix | None = None,
        order: ImageOrder | None = None,
    ) -> None:
        self.dataset_dicts = dataset_dicts
        self.mapper = mapper
        self.seed = seed
        self.mix = mix
        self._candidates = mix.candidates(dataset_dicts) if mix is not None else ()
        self.order = order or ShuffledOrder(len(dataset_dicts), seed)

    def __getitem__(self, sample_index: int) -> dict[str, Any]:
        """Sample ``sample_index`` of the stream, any number from 0 on."""
        with seeded(self.seed, sample_index):
            image = self.order(sample_index)
            sample = map_image(self.mapper, self.dataset_dicts[image])
            if self.mix is not None and self.mix.is_drawn():
                other = self._draw_candidate(image)
                sample = self.mix(sample, map_image(self.mapper, self.dataset_dicts[other]))
        return sample | {"random_seed": _random_seed(self.seed, sample_index)}

    def _draw_candidate(self, image: int) -> int:
        """Draw evenly from the candidates, again until it is another image, if there is another."""
        while True:
            other = self._candidates[np.random.randint(len(self._candidates))]
            if other != image or len(self._candidates) == 1:
                return other


class GlobalBatchSampler(Sampler[list[int]]):
    """The sample indices of this process's part of each global batch, without end.

    Iteration i takes the samples i * B to (i + 1) * B - 1 of the stream, B being the global batch
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


@contextlib.contextmanager
def seeded(seed: int, sample_index: int) -> Iterator[None]:
    """Seed the global generators for one sample; restore them on leaving.

    Python's, numpy's and torch's CPU generator are seeded, each with words of its own from
    ``numpy.random.SeedSequence(seed, spawn_key=(1, sample_index))``. CUDA's are left alone.
    """
    words = _seed_sequence(seed, _SAMPLES, sample_index).generate_state(12)
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


def _random_seed(seed: int, sample_index: int) -> int:
    sequence = _seed_sequence(seed, _SEEDS, sample_index)
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def _seed_sequence(seed: int, purpose: int, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(purpose, number))
