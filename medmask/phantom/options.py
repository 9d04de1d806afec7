"""Options of phantoms, and of the expert that is trained on them, free of heavy imports."""

import math
from dataclasses import asdict, dataclass

from medmask.errors import InputError

DOMAINS = ("film", "ffdm")
SPLITS = ("train", "val", "test")
DEFAULT_SPLIT_SIZES = {"train": 1000, "val": 400, "test": 400}
"""Images per domain."""
FORMATS = ("png8", "png16", "dicom")
"""Of the files: 8-bit gray, 12-bit values in 16 bits, and DICOM with 12 bits."""
GENERATOR_VERSION = 9
"""Raised with every change of the generator that alters pixels or boxes."""


@dataclass(frozen=True)
class PhantomParameters:
    """Parameters that decide every pixel and every box.

    Attributes:
        width: columns of the images.
        height: rows of the images.
        seed: 0 or more.
        positive_fraction: fraction of the breasts, and so of the images, with a malignant lesion.
        lesion_contrast: density of malignant lesions and benign look-alikes; lower is harder.
        ffdm_curve_strength: steepness of the ffdm gray curve; 0 is a straight line.

    Raises:
        InputError: a value is out of range.
    """

    width: int = 192
    height: int = 256
    seed: int = 0
    positive_fraction: float = 0.45
    lesion_contrast: float = 2.0
    ffdm_curve_strength: float = 0.4

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 48:
            raise InputError(
                f"size is {self.width}x{self.height}: phantoms need at least 48 pixels a side"
            )
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: give 0 or more")
        if not 0 <= self.positive_fraction <= 1:
            raise InputError(f"positive_fraction is {self.positive_fraction}: give 0 to 1")
        for name in ("lesion_contrast", "ffdm_curve_strength"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value}: give a number of 0 or more")

    def as_dict(self) -> dict:
        """List everything that the images depend on, the generator's version included."""
        return {"generator_version": GENERATOR_VERSION, **asdict(self)}


@dataclass(frozen=True)
class PhantomExpertSettings:
    """Options of the training.

    Attributes:
        seed: of the phantoms and of the training; other than the benchmark's phantoms have.
        patients: per scanner domain; each has four images.
        test_patients: further ones, of which the report is made.
        steps: of the optimizer.
        batch_size: crops a step.
        learning_rate: at its highest.
        crop_context: side of a crop relative to the longer side of the lesion's box.

    Raises:
        InputError: a number is out of range.
    """

    seed: int = 1000
    patients: int = 150
    test_patients: int = 40
    steps: int = 1400
    batch_size: int = 64
    learning_rate: float = 2e-3
    crop_context: float = 2.0

    def __post_init__(self) -> None:
        for name in ("patients", "test_patients", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give 1 or more")
        if not 0 <= self.seed < 2**63:  # of PyTorch's generator
            raise InputError(f"seed is {self.seed}: give 0 to 2^63 - 1")
