"""The size and layout of the pixels of a DICOM file (PS3.3 C.7.6.3, Image Pixel module)."""

from dataclasses import dataclass

from medmask.errors import InputError
from medmask.images.dicom.elements import Elements
from medmask.images.limits import check_image_size

COLOR = ("RGB", "YBR_")
GRAY = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True)
class FrameSize:
    """Rows, columns and number of frames."""

    rows: int
    columns: int
    frames: int


@dataclass(frozen=True)
class PixelLayout:
    """The layout of one pixel.

    Attributes:
        samples: 1 for gray, 3 for color.
        photometric: the photometric interpretation, such as MONOCHROME2.
        bits_allocated: bits that a sample takes.
        bits_stored: of those, the lowest that hold its value.
        signed: whether the value is a two's complement.
        planar: whether colors are stored plane by plane.
    """

    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    signed: bool
    planar: bool

    @property
    def is_gray(self) -> bool:
        """True if the numbers are brightness (or darkness), not color."""
        return self.photometric in GRAY


def read_frame_size(elements: Elements) -> FrameSize:
    """Read the size of the frames.

    Raises:
        InputError: there is none, it is not a size, or it is larger than the limit.
    """
    if not elements.has("Rows") and not elements.has("Columns"):
        raise InputError(
            f"DICOM file {elements.path} holds no image (no Rows and no Columns); it is a report "
            "or another object, or cut off"
        )
    rows = elements.integer("Rows", at_least=1)
    columns = elements.integer("Columns", at_least=1)
    check_image_size(elements.path, rows, columns)
    return FrameSize(rows, columns, elements.integer("NumberOfFrames", default=1, at_least=1))


def read_pixel_layout(elements: Elements, *, is_float: bool) -> PixelLayout:
    """Read the layout of the pixels.

    Args:
        elements: those of the file.
        is_float: whether the file holds Float or Double Float Pixel Data, which have no bits to
            choose and always have a sign.

    Raises:
        InputError: an element is missing or contradicts another.
    """
    photometric = elements.text("PhotometricInterpretation")
    if not photometric:
        raise elements.fault("PhotometricInterpretation", "is missing or empty")
    if photometric not in GRAY and not photometric.startswith(COLOR):
        raise elements.fault("PhotometricInterpretation", "is not that of a gray or RGB image")
    samples = elements.integer("SamplesPerPixel", default=1)
    if samples != (1 if photometric in GRAY else 3):
        raise elements.fault("SamplesPerPixel", f"does not go with {photometric}")
    allocated = elements.integer("BitsAllocated", at_least=1)
    if allocated not in (1, 8, 16, 32, 64):
        raise elements.fault("BitsAllocated", "must be 1, 8, 16, 32 or 64")
    stored, signed = allocated, True
    if not is_float:
        stored, signed = _read_bits(elements, allocated)
    planar = bool(elements.integer("PlanarConfiguration", default=0))
    return PixelLayout(samples, photometric, allocated, stored, signed, planar)


def _read_bits(elements: Elements, allocated: int) -> tuple[int, bool]:
    """(bits stored, whether the values have a sign)."""
    stored = elements.integer("BitsStored", at_least=1)
    if stored > allocated:
        raise elements.fault("BitsStored", f"must not be larger than Bits Allocated, {allocated}")
    if elements.integer("HighBit", default=stored - 1) != stored - 1:
        raise elements.fault("HighBit", f"must be {stored - 1}, one less than Bits Stored")
    representation = elements.integer("PixelRepresentation")
    if representation not in (0, 1):
        raise elements.fault("PixelRepresentation", "must be 0 or 1")
    return stored, representation == 1


def has_burned_in_text(elements: Elements) -> bool:
    """Tell whether the header says that the pixels hold writing that may name the patient."""
    return elements.text("BurnedInAnnotation").upper() == "YES"
