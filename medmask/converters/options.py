"""Choices of a user for a conversion, and what does not go with them."""

from dataclasses import dataclass
from pathlib import Path

from medmask.converters.contract import Converter, MarkedLesions
from medmask.converters.parts import LABELS
from medmask.errors import InputError


@dataclass(frozen=True)
class ConversionOptions:
    """Choices of a user.

    Attributes:
        labels: the lesions that are annotated, of :data:`LABELS`; each gives files of its own.
        folds: number of patient folds; None writes train, val and test.
        seed: of splits and folds.
        max_size: pixels of the longer side of the images; None for full size.
        link: link to the raw files instead of writing PNG files.
        workers: processes.
        complete: every lesion of a set that does not tell which ones it marks is marked, so that
            an image without any shows none.

    Raises:
        InputError: a value is out of range, or two contradict each other.
    """

    labels: tuple[str, ...] = LABELS
    folds: int | None = None
    seed: int = 0
    max_size: int | None = None
    link: bool = False
    workers: int = 1
    complete: bool = False

    def __post_init__(self) -> None:
        for label in self.labels:
            if label not in LABELS:
                raise InputError(f"label '{label}' is unknown: choose from {', '.join(LABELS)}")
        if not self.labels:
            raise InputError(f"no label is chosen: choose from {', '.join(LABELS)}")
        for name, least in (("folds", 2), ("max_size", 1), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name.replace('_', '-')} is {value}: give {least} or more")
        if self.link and self.max_size is not None:
            raise InputError("--link leaves the files as they are: leave --max-size out")


def check_call(converter: Converter, raw: Path, output: Path, options: ConversionOptions) -> None:
    """Refuse a conversion whose set, folders and choices do not go together.

    Args:
        converter: of the set.
        raw: the folder of the raw download.
        output: the folder to write.
        options: what the user chose.

    Raises:
        InputError: the raw folder is absent, the output would be read as a part of it, or the set
            cannot be converted so.
    """
    if options.link and converter.read_pixels is not None:
        raise InputError(f"the files of {converter.title} cannot be linked to: leave --link out")
    if not raw.is_dir():
        raise InputError(f"raw folder {raw} does not exist or is no folder; give the download's")
    if output.resolve() == raw.resolve():
        raise InputError(f"--output {output} is the raw folder itself: choose another one")
    if options.link and raw.resolve() in output.resolve().parents:
        raise InputError(
            f"--output {output} is in the raw folder, where the links would be taken for images of "
            "it: choose another one, or leave --link out"
        )
    if options.complete and converter.marked is not MarkedLesions.UNTOLD:
        raise InputError(
            f"which lesions {converter.title} marks is known: leave --complete out, which is for a "
            "COCO tree of your own"
        )
