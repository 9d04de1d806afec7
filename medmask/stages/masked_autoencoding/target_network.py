"""The backbone whose maps masked autoencoding rebuilds.

The maps of the backbone that is trained move while they are aimed at, the faster the more the other
losses change it: on phantoms their variance nearly triples in 50 iterations of detection.
"""

from typing import Any

from torch import nn

from medmask.modeling import MedMask
from medmask.stages.mean_teacher.ema import make_average, update_average

TARGET_NETWORKS = ("model", "start", "average")


class TargetNetwork:
    """The detector's own backbone, a copy of it as the run began, or its moving average.

    Copies are in evaluation mode: their BatchNorm has fixed statistics.
    """

    def __init__(self, kind: str, decay: float) -> None:
        """Create it without weights.

        Args:
            kind: one of ``TARGET_NETWORKS``.
            decay: share of the average that stays in each iteration.
        """
        self.kind = kind
        self.decay = decay
        self.backbone: nn.Module | None = None
        """the copy; None for the detector's own"""

    def build(self, detector: MedMask) -> None:
        """Copy the backbone, if there is to be a copy."""
        if self.kind != "model":
            self.backbone = make_average(detector.backbone)

    def start(self, detector: MedMask) -> None:
        """Take the weights that a new run begins with."""
        if self.backbone is not None:
            self.backbone.load_state_dict(detector.backbone.state_dict())

    def follow(self, detector: MedMask) -> None:
        """Move the average by one iteration."""
        if self.backbone is not None and self.kind == "average":
            update_average(self.backbone, detector.backbone, self.decay)

    def state_dict(self) -> dict[str, Any]:
        """Return the weights of the copy; empty without one."""
        return {} if self.backbone is None else self.backbone.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` gave."""
        if self.backbone is not None:
            self.backbone.load_state_dict(state_dict)
