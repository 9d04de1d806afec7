"""Settings of an evaluation, free of numpy: command lines show them."""

import math
from dataclasses import dataclass

from medmask.errors import InputError

OPERATING_POINTS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0)
"""False positives per image at which sensitivities are reported."""

_MOST_RESAMPLES = 1_000_000
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of what is counted, and how.

    Attributes:
        operating_points: false positives per image at which sensitivities are reported.
        iou_threshold: None: a detection hits a lesion when its center lies in the lesion's box;
            else when their IoU is at least this, in (0, 1].
        nms_iou: non-maximum suppression before anything else, in [0, 1]; None leaves it out.
        bootstrap: resamples of the patients for the 95% intervals, at most a million; 0 leaves the
            intervals out.
        seed: of the resampling.
        score: threshold in [0, 1] at which F1, sensitivity and specificity are reported beside the
            best one.

    Raises:
        InputError: for a value out of its range.
    """

    operating_points: tuple[float, ...] = OPERATING_POINTS
    iou_threshold: float | None = None
    nms_iou: float | None = 0.1
    bootstrap: int = 1000
    seed: int = 0
    score: float = 0.5

    def __post_init__(self) -> None:
        points = self.operating_points
        if not points or not all(math.isfinite(point) and point >= 0 for point in points):
            raise InputError(f"operating points must be finite and at least 0, got {points}")
        if self.iou_threshold is not None and not 0 < self.iou_threshold <= 1:
            raise InputError(f"the IoU of a hit must be in (0, 1], got {self.iou_threshold}")
        if self.nms_iou is not None and not 0 <= self.nms_iou <= 1:
            raise InputError(f"the IoU of the suppression must be in [0, 1], got {self.nms_iou}")
        for name, value, highest in (
            ("number of bootstrap resamples", self.bootstrap, _MOST_RESAMPLES),
            ("seed of the resampling", self.seed, _LARGEST_SEED),
        ):
            if type(value) is not int or not 0 <= value <= highest:
                raise InputError(
                    f"the {name} must be a whole number from 0 to {highest}, got {value!r}"
                )
        if not 0 <= self.score <= 1:
            raise InputError(f"the score threshold must be in [0, 1], got {self.score}")

    def positive_rates(self) -> tuple[float, ...]:
        """The operating points that a logarithmic axis can show, the usual ones if none can be."""
        return tuple(point for point in self.operating_points if point > 0) or OPERATING_POINTS
