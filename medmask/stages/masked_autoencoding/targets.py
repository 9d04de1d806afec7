"""The maps that masked autoencoding rebuilds: of which network, and in which units."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from medmask.modeling import MedMask
from medmask.stages.masked_autoencoding.reconstruction import own_maps
from medmask.stages.masked_autoencoding.standardization import ChannelStatistics
from medmask.stages.masked_autoencoding.target_network import TargetNetwork


class TargetMaps:
    """Makes the targets of a training step, and of an observation that changes nothing."""

    def __init__(self, network: TargetNetwork, statistics: ChannelStatistics | None) -> None:
        """Join the parts.

        Args:
            network: gives the maps.
            statistics: standardize them; None leaves them as they are.
        """
        self.network = network
        self.statistics = statistics

    def make(
        self,
        detector: MedMask,
        pixels: Tensor,
        features: Mapping[str, Tensor],
        padding: Mapping[str, Tensor],
        *,
        for_training: bool,
    ) -> dict[str, Tensor]:
        """Make the targets of a step.

        Args:
            detector: whose maps they are, where the network is none of its own.
            pixels: (N, 3, H, W), normalized.
            features: maps of the detector's backbone by name.
            padding: (N, h, w) bool of each map, True in the padding.
            for_training: take note of the statistics; a picture or a measurement does not.
        """
        if self.network.backbone is not None:
            features = self.network.backbone(pixels)
        maps = own_maps(detector, pixels, features, padding)
        if self.statistics is None:
            return maps
        if for_training:
            self.statistics.add(maps, padding)
        return self.statistics.standardize(maps, padding)

    def begin_iteration(self) -> None:
        """Forget an iteration that did not come to its end."""
        if self.statistics is not None:
            self.statistics.begin_iteration()

    def end_iteration(self, detector: MedMask) -> None:
        """Follow the detector, and renew the statistics."""
        self.network.follow(detector)
        if self.statistics is not None:
            self.statistics.end_iteration()

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        statistics = {} if self.statistics is None else self.statistics.state_dict()
        return {"network": self.network.state_dict(), "statistics": statistics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` gave."""
        self.network.load_state_dict(state_dict["network"])
        if self.statistics is not None:
            self.statistics.load_state_dict(state_dict["statistics"])
