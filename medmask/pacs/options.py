"""Options of a round trip, free of heavy imports: command lines show them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medmask.dicom_results.options import ResultOptions

if TYPE_CHECKING:
    from medmask.calibration import AppliedCalibration


@dataclass(frozen=True)
class RoundTripOptions:
    """Choice of what is made of each study.

    Attributes:
        results: threshold and kinds of the objects.
        store: whether to store them in the archive.
        keep_images: whether to leave the fetched images in the output folder.
        calibration: of the detector; its threshold takes the place of that of the results, which
            have probabilities. None for scores alone.
    """

    results: ResultOptions = field(default_factory=ResultOptions)
    store: bool = False
    keep_images: bool = False
    calibration: "AppliedCalibration | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "results", self.results.at(self.calibration))
