"""Phases of a run with masked autoencoding, in iterations."""

from dataclasses import dataclass

from medmask.errors import InputError
from medmask.utils.counts import counted
from medmask.utils.periods import Period, to_iterations_or_end, to_iterations_within


@dataclass(frozen=True)
class Phases:
    """Iterations in which masked autoencoding acts, warms up and draws, counted from 0."""

    num_active: int
    """iterations with masked autoencoding"""
    num_warmup: int
    """first iterations, in which it trains its own decoder alone; fewer than those above"""
    picture_period: int | None
    """from one picture to the next; 0 for the last active iteration alone, None for no picture"""

    @classmethod
    def of_run(
        cls,
        max_iter: int,
        *,
        duration: Period | None,
        warmup: Period | None,
        picture_period: Period | None,
        key: str,
    ) -> "Phases":
        """Turn periods, which may be shares of the run, into iterations.

        Args:
            max_iter: iterations of the whole run.
            duration: of masked autoencoding; None for the whole run.
            warmup: None for none.
            picture_period: see :attr:`picture_period`.
            key: of the group in the config that holds these three.

        Raises:
            InputError: one is no period, or does not end before what it is a part of.
        """
        num_active, num_warmup, pictures = max_iter, 0, None
        if duration is not None:
            num_active = to_iterations_within(duration, max_iter, f"{key}.duration")
        if warmup is not None:
            num_warmup = to_iterations_within(warmup, max_iter, f"{key}.warmup")
        if num_warmup >= num_active:
            raise InputError(
                f"{key}.warmup is {counted(num_warmup, 'iteration')}, but masked autoencoding ends "
                f"after {num_active} ({key}.duration), so the detector would never learn from it: "
                "shorten the warm-up"
            )
        if picture_period is not None:
            pictures = to_iterations_or_end(picture_period, max_iter, f"{key}.picture_period")
        return cls(num_active, num_warmup, pictures)

    def is_active(self, iteration: int) -> bool:
        """Tell whether an iteration has masked autoencoding."""
        return iteration < self.num_active

    def is_warmup(self, iteration: int) -> bool:
        """Tell whether an iteration trains the decoder of masked autoencoding alone."""
        return iteration < self.num_warmup

    def has_picture(self, iteration: int) -> bool:
        """Tell whether a picture is drawn after an active iteration."""
        if self.picture_period is None:
            return False
        done, period = iteration + 1, self.picture_period
        return done == self.num_active or (period > 0 and done % period == 0)
