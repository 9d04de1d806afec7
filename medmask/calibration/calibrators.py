"""The kinds of calibration: functions from scores to probabilities."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from medmask.calibration.isotonic import IsotonicCalibrator, fit_isotonic
from medmask.calibration.logistic import LogisticCalibrator, fit_logistic
from medmask.calibration.settings import METHODS
from medmask.coco import numbers
from medmask.evaluation.classification import ScoredUnits


class Calibrator(Protocol):
    """A function from scores to probabilities that never falls."""

    name: str

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """(N,) scores in [0, 1] -> (N,) float64 probabilities in [0, 1]."""

    def to_json(self) -> dict[str, Any]:
        """The parameters as JSON values."""


_FITS: dict[str, Callable[[np.ndarray, np.ndarray], Calibrator]] = dict(
    zip(METHODS, (fit_logistic, fit_isotonic), strict=True)
)


def fit_calibrator(method: str, units: ScoredUnits) -> Calibrator:
    """Fit one of :data:`medmask.calibration.settings.METHODS` to scored units, at least one."""
    return _FITS[method](units.scores, units.labels)


def read_calibrator(content: object) -> Calibrator | None:
    """Make a calibrator of what :func:`calibrator_to_json` wrote; None if it is something else."""
    if not isinstance(content, dict):
        return None
    if content.get("method") == LogisticCalibrator.name:
        slope, intercept = numbers([content.get("slope"), content.get("intercept")]).tolist()
        if np.isfinite([slope, intercept]).all() and slope >= 0:
            return LogisticCalibrator(slope, intercept)
    elif content.get("method") == IsotonicCalibrator.name:
        told = content.get("scores"), content.get("probabilities")
        if isinstance(told[0], list) and isinstance(told[1], list):
            scores, levels = numbers(told[0]), numbers(told[1])
            if _is_rising_curve(scores, levels):
                return IsotonicCalibrator(scores, levels)
    return None


def calibrator_to_json(calibrator: Calibrator) -> dict[str, Any]:
    """Method and parameters as JSON values."""
    return {"method": calibrator.name, **calibrator.to_json()}


def _is_rising_curve(scores: np.ndarray, levels: np.ndarray) -> bool:
    if not 0 < len(scores) == len(levels) or not np.isfinite([*scores, *levels]).all():
        return False
    rising = (np.diff(scores) > 0).all() and (np.diff(levels) >= 0).all()
    return bool(rising and 0 <= levels[0] <= levels[-1] <= 1)
