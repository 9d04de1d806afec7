"""Options of a round trip, free of heavy imports: command lines show them."""

from dataclasses import dataclass, field

from medmask.dicom_results.options import ResultOptions


@dataclass(frozen=True)
class RoundTripOptions:
    """Choice of what is made of each study.

    Attributes:
        results: threshold and kinds of the objects.
        store: whether to store them in the archive.
        keep_images: whether to leave the fetched images in the output folder.
    """

    results: ResultOptions = field(default_factory=ResultOptions)
    store: bool = False
    keep_images: bool = False
