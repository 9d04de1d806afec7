"""Settings of a calibration, free of numpy: command lines show them."""

import math
from dataclasses import dataclass, field

from medmask.errors import InputError
from medmask.evaluation.settings import EvaluationSettings

CALIBRATION = "calibration.json"
"""Name of the file beside the weights."""

RATES = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0)
"""False positives per image for which a calibration has thresholds."""

METHODS = ("logistic", "isotonic")
"""Ways from scores to probabilities."""

UNCALIBRATED = "Scores are not calibrated: they rank the detections and are no probabilities."
"""To be said wherever scores are shown without a calibration."""


@dataclass(frozen=True)
class CalibrationSettings:
    """Settings of what is counted, and how.

    Attributes:
        evaluation: hit rule, suppression, resamples and seed. Its operating points, rates of false
            positives per image, are those that get thresholds.
        method: "logistic", two parameters, which is sound with few lesions; or "isotonic", which
            follows any rising course and needs some hundred hits.
        folds: parts of the patients; the quality of a part is measured with a calibration of the
            others. At least 2.

    Raises:
        InputError: for a value out of its range.
    """

    evaluation: EvaluationSettings = field(
        default_factory=lambda: EvaluationSettings(operating_points=RATES)
    )
    method: str = METHODS[0]
    folds: int = 5

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"the method must be one of {METHODS}, got {self.method!r}")
        if type(self.folds) is not int or not 2 <= self.folds <= 1000:
            raise InputError(f"the folds must be a whole number from 2 to 1000, got {self.folds}")
        points = self.evaluation.operating_points
        if len(set(points)) < len(points) or not all(
            point > 0 and math.isfinite(point) for point in points
        ):
            raise InputError(f"operating points must be different and above 0, got {points}")
