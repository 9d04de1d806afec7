"""Settings of an evaluation, free of numpy: command lines show them."""

import math
from dataclasses import dataclass

from medmask.errors import InputError

OPERATING_POINTS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0)
"""False positives per image at which sensitivities are reported."""

CPM_POINTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per image whose mean sensitivity is the competition performance metric (CPM).

As in the LUNA16 challenge; Setio et al., Medical Image Analysis 42 (2017).
"""

DEFAULT_MIN_PAIRS = 8
"""Pairs of runs that a claim needs, unless fewer are asked for."""

FUSION_IOU = 0.3
"""Overlap from which boxes of two models are of one finding; lesions have no sharp borders."""

LESION_BOX, PUBLISHED_SCRIPT = "lesion_box", "published_script"
HIT_RULES = (LESION_BOX, PUBLISHED_SCRIPT)
"""Counterparts of a detection: the lesion's box, or what a public script takes for it."""

MOST_FALSE_POSITIVES = 1_000_000
"""Of an image; beyond it, counts over a data set would leave the range of integers."""
_MOST_RESAMPLES = 1_000_000
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of what is counted, and how.

    Attributes:
        operating_points: false positives per image at which sensitivities are reported, at most a
            million.
        iou_threshold: None: a detection hits a lesion when its center lies in the lesion's box;
            else when their IoU is at least this, in (0, 1].
        hit_rule: "lesion_box"; or "published_script", for comparison with published figures only:
            the center lies where a public script takes the lesion to be
            (:mod:`medmask.evaluation.published_script`), without suppression.
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
    hit_rule: str = LESION_BOX
    nms_iou: float | None = 0.1
    bootstrap: int = 1000
    seed: int = 0
    score: float = 0.5

    def __post_init__(self) -> None:
        points = self.operating_points
        if not points or not all(0 <= point <= MOST_FALSE_POSITIVES for point in points):
            raise InputError(
                f"operating points must be numbers from 0 to {MOST_FALSE_POSITIVES}, got {points}"
            )
        if self.iou_threshold is not None and not 0 < self.iou_threshold <= 1:
            raise InputError(f"the IoU of a hit must be in (0, 1], got {self.iou_threshold}")
        if self.nms_iou is not None and not 0 <= self.nms_iou <= 1:
            raise InputError(f"the IoU of the suppression must be in [0, 1], got {self.nms_iou}")
        self._check_hit_rule()
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

    def _check_hit_rule(self) -> None:
        if self.hit_rule not in HIT_RULES:
            raise InputError(f"the hit rule must be one of {HIT_RULES}, got {self.hit_rule!r}")
        if self.hit_rule == PUBLISHED_SCRIPT and self.nms_iou is not None:
            raise InputError(
                "hit rule published_script suppresses nothing: switch the suppression off "
                "(--nms-iou none, or nms_iou=null of the evaluator in a config)"
            )
        if self.hit_rule == PUBLISHED_SCRIPT and self.iou_threshold is not None:
            raise InputError(
                "hit rule published_script looks at centers alone: leave the IoU of a hit out"
            )

    def positive_rates(self) -> tuple[float, ...]:
        """The operating points that a logarithmic axis can show, the usual ones if none can be."""
        return tuple(point for point in self.operating_points if point > 0) or OPERATING_POINTS


_MOST_VIEW_WEIGHT = 10.0
"""Greater weights would make every score 0 or 1."""


@dataclass(frozen=True)
class ViewSettings:
    """Settings of how the views of an exam change each other's scores.

    The defaults were chosen on the training patients of INbreast, with detectors of mini-MIAS.

    Attributes:
        ipsilateral_weight: of what the same breast's other views have at the same depth, from 0 to
            10.
        contralateral_weight: of what the other breast has at the same place, likewise.
        ipsilateral_reach: standard deviation of depth that is taken as the same, above 0, in shares
            of the breast's longer side.
        contralateral_reach: of the place, likewise.
        least_score: what an image without a detection counts as, in (0, 1).
        unknown_score: what an image that is not there counts as, in (0, 1).

    Raises:
        InputError: for a value out of its range.
    """

    ipsilateral_weight: float = 0.4
    contralateral_weight: float = 0.2
    ipsilateral_reach: float = 0.2
    contralateral_reach: float = 0.15
    least_score: float = 0.03
    unknown_score: float = 0.15

    def __post_init__(self) -> None:
        for name in ("ipsilateral_weight", "contralateral_weight"):
            if not 0 <= getattr(self, name) <= _MOST_VIEW_WEIGHT:
                raise InputError(
                    f"{name} is {getattr(self, name)}, but must lie in [0, {_MOST_VIEW_WEIGHT:g}]"
                )
        for name in ("ipsilateral_reach", "contralateral_reach"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}, but must be above 0")
        for name in ("least_score", "unknown_score"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, but must lie in (0, 1)")
