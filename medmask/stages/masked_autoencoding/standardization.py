"""Maps to rebuild in units of their own spread: each channel with mean 0 and variance 1.

Without it the few channels and the level of greatest variance decide the loss, and its size is that
of the network's features, whatever they are. With it a constant answer costs 1 on every level (less
where channels are dead), and 1 less the loss is the share of the variance that is explained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.utils import comm
from torch import Tensor, distributed

SMALLEST_MOMENTUM = 0.01
"""Share of an iteration in the running statistics, once there were a hundred iterations"""
SMALLEST_VARIANCE = 1e-4
"""of a channel, as a share of the mean of all channels: dead channels are not blown up"""


@dataclass
class _Moments:
    """Sums over the unpadded positions of a map, float64."""

    count: Tensor
    """scalar"""
    total: Tensor
    """(C,)"""
    squares: Tensor
    """(C,)"""

    def __add__(self, other: "_Moments") -> "_Moments":
        return _Moments(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )

    def means(self) -> Tensor:
        """Divide by the count: (2, C), means of the values and of their squares."""
        return torch.stack((self.total, self.squares)) / self.count.clamp(min=1)


class ChannelStatistics:
    """Running mean and variance of each channel of several maps, over unpadded positions.

    After iteration t, counted from 1, they keep 1 - max(1/t, 0.01) of themselves: at first they are
    the statistics of all images so far. They change in :meth:`end_iteration` only, so all batches
    of an iteration are standardized alike, but for those of the very first, for which there is
    nothing to go by but themselves.
    """

    def __init__(self) -> None:
        self._means: dict[str, Tensor] = {}
        self._iterations = 0
        self._pending: dict[str, _Moments] = {}

    def begin_iteration(self) -> None:
        """Forget what was added by an iteration that did not come to its end."""
        self._pending = {}

    def add(self, maps: Mapping[str, Tensor], padding: Mapping[str, Tensor]) -> None:
        """Take note of a batch; all processes must add theirs.

        Args:
            maps: name -> (N, C, h, w).
            padding: name -> (N, h, w) bool.
        """
        for name, values in maps.items():
            moments = _moments_of(values, padding[name])
            if name in self._pending:
                moments = self._pending[name] + moments
            self._pending[name] = moments

    def standardize(
        self, maps: Mapping[str, Tensor], padding: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Bring each channel to mean 0 and variance 1; changes nothing.

        Args:
            maps: name -> (N, C, h, w).
            padding: name -> (N, h, w) bool; counts where there are no statistics yet.

        Returns:
            name -> (N, C, h, w), float32.
        """
        return {name: self._standardize(name, x, padding[name]) for name, x in maps.items()}

    def end_iteration(self) -> None:
        """Take what was added into the running statistics."""
        self._iterations += 1
        momentum = max(1 / self._iterations, SMALLEST_MOMENTUM)
        for name, moments in self._pending.items():
            means = moments.means()
            self._means[name] = torch.lerp(self._means.get(name, means).to(means), means, momentum)
        self._pending = {}

    def _standardize(self, name: str, values: Tensor, padding: Tensor) -> Tensor:
        means = self._means.get(name)
        if means is None:
            moments = self._pending.get(name)
            means = (moments or _moments_of(values, padding, shared=False)).means()
        mean, square = means.to(values.device)
        variance = (square - mean.square()).clamp(min=0)
        least = (SMALLEST_VARIANCE * variance.mean()).clamp(min=1e-12)
        scale = torch.maximum(variance, least).rsqrt()
        return (values.float() - mean.float()[:, None, None]) * scale.float()[:, None, None]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers."""
        means = {name: means.tolist() for name, means in self._means.items()}
        return {"iterations": self._iterations, "means": means}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` gave."""
        self._iterations = state_dict["iterations"]
        self._means = {
            name: torch.tensor(means, dtype=torch.float64)
            for name, means in state_dict["means"].items()
        }


def _moments_of(values: Tensor, padding: Tensor, shared: bool = True) -> _Moments:
    """Sum up a map (N, C, h, w) outside its padding (N, h, w), of all processes if ``shared``."""
    inside = values.detach().double().movedim(1, -1)[~padding]  # (positions, C)
    count = inside.new_tensor([float(len(inside))])
    sums = torch.cat((count, inside.sum(0), inside.square().sum(0)))
    if shared and comm.get_world_size() > 1:
        distributed.all_reduce(sums)
    channels = values.shape[1]
    return _Moments(sums[0], sums[1 : 1 + channels], sums[1 + channels :])
