"""Options and files of a run of predictions, free of heavy imports: command lines show them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medmask.errors import InputError

JOURNAL = "predictions.jsonl"
DETECTIONS = "detections.json"
OVERLAYS = "overlays"

FORMATS = ("json", "csv", "parquet")
"""Of the results: COCO's, tables as text, and tables for pyarrow, pandas or Spark."""

MOST_WORKERS = 4
"""Processes that read ahead of a model, unless more are asked for."""
_SHARD = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", re.ASCII)


def result_files(formats: Sequence[str]) -> list[str]:
    """Name the files of results in some of :data:`FORMATS`."""
    tables = [f"{kind}.{x}" for x in formats if x != "json" for kind in ("detections", "images")]
    return [*([DETECTIONS] if "json" in formats else []), *tables]


@dataclass(frozen=True)
class Shard:
    """A part of the images that one process takes: every ``count``-th of the list.

    Attributes:
        number: of the shard, counted from 1.
        count: of all shards.

    Raises:
        InputError: there is no such shard.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(
                f"shard {self.number}/{self.count} is none of 1/{self.count} to "
                f"{self.count}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read a shard from text such as ``3/8``.

        Raises:
            InputError: the text is none.
        """
        match = _SHARD.fullmatch(text)
        if match is None:
            raise InputError(f"shard '{text}' is not of the form I/N, such as 1/8 to 8/8")
        return cls(int(match[1]), int(match[2]))

    @property
    def file_name(self) -> str:
        """Name of the file that its predictions are appended to."""
        return JOURNAL if self.count == 1 else f"predictions-{self.number}-of-{self.count}.jsonl"

    def has(self, position: int) -> bool:
        """Tell whether it takes the image at a position of the list, counted from 0."""
        return position % self.count == self.number - 1


@dataclass(frozen=True)
class PredictionOptions:
    """Products of each image, and the work that is done at the same time.

    Attributes:
        score_threshold: overlays show detections with at least this score, in [0, 1]; the files
            hold all.
        overlays: whether to draw pictures.
        shard: the part of the images to take.
        workers: processes that read images ahead of the model; 0 reads in this one.
        batch_size: most images of one size that go through the model together, at least 1.
        formats: of the results, among :data:`FORMATS`.

    Raises:
        InputError: a value is out of its range.
    """

    score_threshold: float = 0.3
    overlays: bool = True
    shard: Shard = Shard()
    workers: int = 0
    batch_size: int = 1
    formats: tuple[str, ...] = ("json",)

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise InputError(f"the score threshold must be in [0, 1], got {self.score_threshold}")
        if self.workers < 0:
            raise InputError(f"the number of workers must be at least 0, got {self.workers}")
        if self.batch_size < 1:
            raise InputError(f"the batch size must be at least 1, got {self.batch_size}")
        for name in self.formats:
            if name not in FORMATS:
                raise InputError(f"the format of results is one of {FORMATS}, got '{name}'")
