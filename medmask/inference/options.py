"""Options and files of a run of predictions, free of heavy imports: command lines show them."""

from dataclasses import dataclass

from medmask.errors import InputError

JOURNAL = "predictions.jsonl"
DETECTIONS = "detections.json"
OVERLAYS = "overlays"


@dataclass(frozen=True)
class PredictionOptions:
    """Products of each image.

    Attributes:
        score_threshold: overlays show detections with at least this score, in [0, 1]; the files
            hold all.
        overlays: whether to draw pictures.

    Raises:
        InputError: the threshold is out of its range.
    """

    score_threshold: float = 0.3
    overlays: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise InputError(f"the score threshold must be in [0, 1], got {self.score_threshold}")
