"""Order of the images in a training stream, as a function of the seed alone."""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np

from medmask.errors import InputError

_SHUFFLES = 0  # spawn keys that begin with it are those of orders; see sample_stream.py


class ImageOrder(Protocol):
    """An endless order of the images of a data set."""

    def __call__(self, sample_index: int) -> int:
        """Index of the image that sample ``sample_index``, from 0 on, shows."""
        ...


class ShuffledOrder:
    """One shuffle of all images after the other.

    Args:
        num_images: of the data set, >= 1.
        seed: of the shuffles, >= 0.
        group: distinguishes the shuffles of several orders that have the seed in common.
    """

    def __init__(self, num_images: int, seed: int, group: int | None = None) -> None:
        self.num_images = num_images
        self._key = (seed, () if group is None else (group,))

    def __call__(self, sample_index: int) -> int:
        epoch, index = divmod(sample_index, self.num_images)
        return int(_shuffle(*self._key, epoch, self.num_images)[index])


class LesionShareOrder:
    """Images with lesions and images without in a fixed ratio, each group shuffled by itself.

    Where lesions are rare, most batches of a plain shuffle hold none, and teach little. Here the
    first n samples always hold floor(n * share) images with lesions, so batches differ by one at
    most.

    Args:
        has_lesions: of each image.
        share: of the samples whose images have lesions, in (0, 1].
        seed: of the shuffles, >= 0.
    """

    def __init__(self, has_lesions: Sequence[bool], share: float, seed: int) -> None:
        self._share = Fraction(str(share))
        self._groups = [[i for i, has in enumerate(has_lesions) if has == g] for g in (False, True)]
        without_lesions, with_lesions = self._groups
        if not with_lesions or (share < 1 and not without_lesions):
            raise InputError(
                f"lesion_share is {share}, but "
                f"{'all images have' if with_lesions else 'no image has'} lesions: set it to null "
                "for the images as they come"
            )
        self._orders = [ShuffledOrder(len(g), seed, i) for i, g in enumerate(self._groups)]

    def __call__(self, sample_index: int) -> int:
        before = math.floor(sample_index * self._share)
        has_lesions = math.floor((sample_index + 1) * self._share) > before
        index = self._orders[has_lesions](before if has_lesions else sample_index - before)
        return self._groups[has_lesions][index]


@functools.lru_cache(maxsize=8)  # of each order of a process, as long as an epoch lasts
def _shuffle(seed: int, group: tuple[int, ...], epoch: int, num_images: int) -> np.ndarray:
    """(num_images,) order of the images in an epoch."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_SHUFFLES, epoch, *group))
    return np.random.default_rng(sequence).permutation(num_images)
