"""Differences between two methods over pairs of runs, and what they show.

Runs of one seed begin with the same weights and see the same images, so they differ by less than
runs of different seeds do: the difference is taken within each pair, and only then the mean (a
paired t-test). A claim needs a mean difference of more than two standard errors, and enough pairs:
with few of them the standard error is itself a guess.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmask.errors import InputError
from medmask.evaluation.settings import DEFAULT_MIN_PAIRS
from medmask.utils.json_files import finite_or_none

BETTER, WORSE, NOT_SHOWN = "better", "worse", "not shown"
STANDARD_ERRORS = 2.0
"""A mean difference beyond this many standard errors is a claim."""
_ROUNDING = 1e-12
"""Share of the largest value below which a difference is one of rounding: a sum in another order"""


@dataclass(frozen=True)
class PairedDifference:
    """The mean of the differences of n pairs, with its uncertainty.

    Attributes:
        mean: of the differences; NaN without a pair.
        standard_error: of the mean, sample standard deviation / sqrt(n); NaN below two pairs.
        t: mean / standard error, with n - 1 degrees of freedom; infinite where all differences are
            the same but for rounding, NaN where they are all 0 or there are fewer than two.
        differences: of the pairs, in their order; those of rounding are 0.
    """

    mean: float
    standard_error: float
    t: float
    differences: tuple[float, ...]

    @property
    def num_pairs(self) -> int:
        """The number of pairs, n."""
        return len(self.differences)

    def verdict(self, min_pairs: int = DEFAULT_MIN_PAIRS) -> str:
        """Tell whether the first of each pair is the better one.

        Args:
            min_pairs: pairs that a claim needs, at least 2.

        Returns:
            "better" or "worse" if there are that many pairs and |t| > 2, else "not shown".

        Raises:
            InputError: ``min_pairs`` is below 2.
        """
        if min_pairs < 2:
            raise InputError(f"a standard error needs 2 pairs, so no claim rests on {min_pairs}")
        if self.num_pairs < min_pairs or not abs(self.t) > STANDARD_ERRORS:
            return NOT_SHOWN
        return BETTER if self.mean > 0 else WORSE

    def to_json(self, min_pairs: int = DEFAULT_MIN_PAIRS) -> dict[str, float | int | str | None]:
        """Figures and verdict as JSON values; what is undefined or infinite is null."""
        return {
            "mean": finite_or_none(self.mean),
            "standard_error": finite_or_none(self.standard_error),
            "t": finite_or_none(self.t),
            "pairs": self.num_pairs,
            "verdict": self.verdict(min_pairs),
        }


def paired_difference(values: Sequence[float], controls: Sequence[float]) -> PairedDifference:
    """Compare N values with those of their controls, higher being better.

    Args:
        values: of a method.
        controls: of the other, in the same order. Pairs with a NaN are left out.

    Raises:
        ValueError: there are not as many of both.
    """
    pairs = np.array(list(zip(values, controls, strict=True)), dtype=np.float64).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    n = len(pairs)
    rounding = _ROUNDING * np.abs(pairs).max(initial=0.0)
    differences = pairs[:, 0] - pairs[:, 1]
    differences[np.abs(differences) <= rounding] = 0.0
    mean = float(differences.mean()) if n else math.nan
    if n < 2:
        return PairedDifference(mean, math.nan, math.nan, tuple(differences.tolist()))
    deviation = 0.0 if np.ptp(differences) <= rounding else float(differences.std(ddof=1))
    error = deviation / math.sqrt(n)
    if error:
        t = mean / error
    else:
        t = math.copysign(math.inf, mean) if mean else math.nan
    return PairedDifference(mean, error, t, tuple(differences.tolist()))
