"""Rows of a work list, handed out in chunks to whoever is free."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from medmask.inference.prediction_images import PredictionImage

Row = tuple[int, PredictionImage]
"""Position in the list of all images, and image."""

_IMAGES, _BATCHES = 64, 8  # the most of a chunk: with each, reading ahead begins anew


class RowChunks:
    """Chunks that shrink toward the end, so that all takers end at about the same time.

    Rows that come back, because their taker was lost, are handed out again first, each alone: one
    of them may be the reason.
    """

    def __init__(self, rows: Iterator[Row], count: int, takers: int, batch_size: int) -> None:
        """Create chunks.

        Args:
            rows: taken as they are needed.
            count: how many there are.
            takers: how many share them, at least 1.
            batch_size: most images that a taker works on together.
        """
        self._rows, self._left, self._takers = rows, count, takers
        self._most = max(_IMAGES, _BATCHES * batch_size)
        self._returned: deque[Row] = deque()

    def __bool__(self) -> bool:
        return bool(self._returned) or self._left > 0

    def take(self) -> list[Row]:
        """Take the next chunk; it is empty if there is none."""
        if self._returned:
            return [self._returned.popleft()]
        size = max(1, min(self._most, self._left // (2 * self._takers)))
        chunk = list(islice(self._rows, size))
        self._left = self._left - len(chunk) if chunk else 0
        return chunk

    def give_back(self, rows: Sequence[Row]) -> None:
        """Hand rows out again."""
        self._returned.extend(rows)
