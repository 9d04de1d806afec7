"""Many seeded cases of one kind, and a count of how they ended."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

FEW, MANY = 50, 1000
_MOST_SHOWN = 5

REFUSED, RIGHT = "refused", "right"

seeds = pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(FEW), id=f"{FEW} cases"),
        pytest.param(range(FEW, FEW + MANY), id=f"{MANY} cases", marks=pytest.mark.slow),
    ],
)
"""Runs a test with some seeds in every run of the tests, and with many where slow ones are run."""


def run_campaign(seeds: range, case: Callable[[random.Random], str]) -> Counter[str]:
    """Run a case for each seed.

    Args:
        seeds: of the cases.
        case: makes its input from a random state and tries it; returns a verdict, such as
            :data:`REFUSED` or :data:`RIGHT`, and fails by an assertion.

    Returns:
        The number of cases by verdict, which is printed as well (``pytest -s`` shows it).

    Raises:
        AssertionError: a case failed; names the seeds, to try them alone.
    """
    verdicts: Counter[str] = Counter()
    failures: list[str] = []
    for seed in seeds:
        try:
            verdicts[case(random.Random(seed))] += 1
        except AssertionError as error:
            failures.append(f"seed {seed}: {error}")
    print(f"{len(seeds)} cases: {dict(verdicts)}, {len(failures)} failures")
    if failures:
        shown = "\n\n".join(failures[:_MOST_SHOWN])
        raise AssertionError(f"{len(failures)} of {len(seeds)} cases failed:\n{shown}")
    return verdicts
