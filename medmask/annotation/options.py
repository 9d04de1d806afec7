"""Options of an export for readers, free of heavy imports: command lines show them."""

from dataclasses import dataclass

from medmask.errors import InputError

MEASURES = (
    "entropy",
    "margin",
    "least-confidence",
    "disagreement",
    "highest-score",
    "random",
)
"""By which images can be ranked, see :mod:`medmask.annotation.uncertainty`."""

PATIENTS = ("all", "spread", "one")
"""All images by their rank alone, the first image of each patient before a second one, or one."""

LEAST_SIDE = 64
"""Pixels: a smaller picture shows no reader anything."""


@dataclass(frozen=True)
class ExportOptions:
    """Choice of what readers are shown, and how.

    Attributes:
        score_threshold: detections with at least this score are drawn as pre-annotations, in
            [0, 1].
        max_size: longest side of a picture, in pixels; None leaves images at their size.
        crop_to_breast: show the breast and a margin alone.
        hang: turn and mirror images as readers hang them, where their headers tell how they lie.
        allow_burned_in_text: show images, too, whose header says that there is writing in them.
        image_url: what stands before ``images/NAME.png`` in Label Studio's tasks.
        classes: labels that readers may give; the detector's classes if None.

    Raises:
        InputError: a value is out of its range.
    """

    score_threshold: float = 0.3
    max_size: int | None = None
    crop_to_breast: bool = False
    hang: bool = False
    allow_burned_in_text: bool = False
    image_url: str = "/data/local-files/?d="
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise InputError(f"the score threshold must be in [0, 1], got {self.score_threshold}")
        if self.max_size is not None and self.max_size < LEAST_SIDE:
            raise InputError(
                f"the longest side of pictures must be at least {LEAST_SIDE} pixels, got "
                f"{self.max_size}"
            )


@dataclass(frozen=True)
class RankingOptions:
    """Choice of the images that readers see, and their order.

    Attributes:
        measure: of :data:`MEASURES`; None leaves images in the order of the predictions.
        count: how many images at most; None for all.
        patients: of :data:`PATIENTS`.
        score_threshold: that the margin is measured from, in [0, 1].
        least_score: detections of lower scores do not count in entropy and disagreement.
        seed: of a random order, from 0 on.

    Raises:
        InputError: a value is out of its range.
    """

    measure: str | None = None
    count: int | None = None
    patients: str = "all"
    score_threshold: float = 0.3
    least_score: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.measure is not None and self.measure not in MEASURES:
            raise InputError(f"images are ranked by one of {MEASURES}, got '{self.measure}'")
        if self.count is not None and self.count < 1:
            raise InputError(f"the number of images must be at least 1, got {self.count}")
        if self.patients not in PATIENTS:
            raise InputError(f"patients is one of {PATIENTS}, got '{self.patients}'")
        for name in ("score_threshold", "least_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if self.seed < 0:
            raise InputError(f"the seed of a random order must be at least 0, got {self.seed}")
