"""Periods and durations of a run, as configs give them.

Everywhere in a config (``train.eval_period``, ``loss_hooks.selective_retraining.period``, ...) a
whole number is iterations, and a fraction between 0 and 1 is a share of the run: ``0.05`` is every
twentieth part of ``train.max_iter``, whatever that is. A share is rounded to whole iterations, at
least one.
"""

from medmask.errors import InputError
from medmask.utils.counts import counted

Period = int | float
"""Iterations (an int of at least 1), or a share of the run (a float between 0 and 1)"""


def check_period(period: Period, key: str) -> None:
    """Check that a period is iterations or a share of some run.

    Args:
        period: as the config gives it.
        key: of the config.

    Raises:
        InputError: it is neither.
    """
    is_number = isinstance(period, int | float) and not isinstance(period, bool)
    if not (is_number and (0 < period < 1 or (isinstance(period, int) and period >= 1))):
        raise InputError(
            f"{key} is {period!r}, but must be a whole number of iterations (1 or more) or a share "
            "of the run (between 0 and 1)"
        )


def to_iterations(period: Period, max_iter: int, key: str) -> int:
    """A period in iterations of a run.

    Args:
        period: as the config gives it.
        max_iter: iterations of the whole run.
        key: of the config, for errors.

    Raises:
        InputError: it is neither iterations nor a share of the run.
    """
    check_period(period, key)
    return period if isinstance(period, int) else max(1, round(period * max_iter))


def to_iterations_within(period: Period, max_iter: int, key: str) -> int:
    """A period in iterations, for what has to end before the run does to have any effect.

    Raises:
        InputError: it is no period, or no shorter than the run.
    """
    iterations = to_iterations(period, max_iter, key)
    if iterations >= max_iter:
        raise InputError(
            f"{key} is {_in_words(period, iterations)}, but the run has {max_iter} "
            "(train.max_iter), so it would never come to its end: shorten it, or train longer"
        )
    return iterations


def to_iterations_or_end(period: Period, max_iter: int, key: str) -> int:
    """A period in iterations, for what happens after the last iteration in any case.

    Returns:
        0 for a period of 0, which stands for the end of the run alone.

    Raises:
        InputError: it is no period, or longer than the run.
    """
    if period == 0 and not isinstance(period, bool):
        return 0
    iterations = to_iterations(period, max_iter, key)
    if iterations > max_iter:
        raise InputError(
            f"{key} is {_in_words(period, iterations)}, but the run has {max_iter} "
            "(train.max_iter): shorten it, or set it to 0 for the end of the run alone"
        )
    return iterations


def _in_words(period: Period, iterations: int) -> str:
    return counted(iterations, "iteration") + (
        "" if period == iterations else f" ({period} of the run)"
    )
