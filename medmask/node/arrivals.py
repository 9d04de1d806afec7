"""Times at which studies have last grown, and which of them are complete."""

import threading
import time
from collections.abc import Callable


class Arrivals:
    """Studies that wait for their quiet time, shared by threads."""

    def __init__(self, quiet_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without studies.

        Args:
            quiet_seconds: a study is complete when nothing has come for so long.
            clock: seconds.
        """
        self._quiet_seconds, self._clock = quiet_seconds, clock
        self._complete_at: dict[str, float] = {}
        self._changed = threading.Condition()

    def note(self, study_uid: str, delay: float | None = None) -> None:
        """Have a study wait for its quiet time, from now on.

        Args:
            study_uid: the study.
            delay: seconds; the quiet time if None.
        """
        seconds = self._quiet_seconds if delay is None else delay
        with self._changed:
            self._complete_at[study_uid] = self._clock() + seconds
            self._changed.notify()

    def take(self, seconds: float) -> str | None:
        """Wait for a study that is complete, and forget it here.

        Args:
            seconds: to wait at most.

        Returns:
            The one that has been complete for longest; None if there is none.
        """
        deadline = self._clock() + seconds
        with self._changed:
            while True:
                now = self._clock()
                study_uid = min(self._complete_at, key=self._complete_at.__getitem__, default=None)
                if study_uid is not None and self._complete_at[study_uid] <= now:
                    del self._complete_at[study_uid]
                    return study_uid
                if now >= deadline:
                    return None
                due = deadline if study_uid is None else self._complete_at[study_uid]
                self._changed.wait(max(0.0, min(due, deadline) - now))

    def __len__(self) -> int:
        """Number of studies that wait."""
        return len(self._complete_at)
