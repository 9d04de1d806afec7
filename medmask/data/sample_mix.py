"""Changes of a training sample by another image of its data set."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from medmask.errors import InputError


class SampleMix(ABC):
    """Changes some samples of a stream by one of another image.

    Args:
        probability: that a sample is changed.

    Raises:
        InputError: the probability is not in [0, 1].
    """

    def __init__(self, probability: float) -> None:
        if not 0 <= probability <= 1:
            raise InputError(
                f"{type(self).__name__}: probability is {probability}, but must lie in [0, 1]"
            )
        self.probability = probability

    def is_drawn(self) -> bool:
        """Draw whether the next sample is changed, from numpy's global generator."""
        return np.random.random() < self.probability

    def candidates(self, dataset_dicts: Sequence[dict[str, Any]]) -> Sequence[int]:
        """Choose the images to take from.

        For each sample one of them is drawn evenly, the sample's own image only if it is the one
        candidate.

        Args:
            dataset_dicts: of the data set, at least one.

        Returns:
            Different indices into it, at least one; here all.

        Raises:
            InputError: there is none.
        """
        return range(len(dataset_dicts))

    @abstractmethod
    def __call__(self, sample: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        """Make a new sample of two of the same mapper; both stay as they are.

        It may draw from Python's, numpy's and torch's global CPU generators.
        """
