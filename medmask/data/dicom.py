"""Reading radiographs from DICOM files (PS3.3 of the DICOM standard, annexes C.7.6.3 and C.11)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medmask.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

_SUFFIXES = (".dcm", ".dicom", ".dic")
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its suffix, or by the mark ``DICM`` at byte 128."""
    if path.suffix.lower() in _SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_dicom_size(path: Path) -> tuple[int, int]:
    """Read (height, width) without the pixels.

    Raises:
        InputError: the file is not DICOM or holds no image.
    """
    dataset = _read_dataset(path, stop_before_pixels=True)
    return int(dataset.Rows), int(dataset.Columns)


def read_dicom(path: Path) -> np.ndarray:
    """Read the first frame of a DICOM image as it is meant to be shown.

    The modality transform (rescale slope and intercept, or its table) and the first VOI transform
    (table, or window: linear, linear exact or sigmoid) are applied, MONOCHROME1 is inverted, and
    bits above Bits Stored are ignored.

    Returns:
        (H, W) float64, larger is brighter; (H, W, 3) for a colour image. Pixels that carry the
        padding value are NaN.

    Raises:
        InputError: not a readable DICOM image, or its compression needs a package that is missing.
    """
    dataset = _read_dataset(path)
    stored = _first_frame(dataset, path)
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        if stored.ndim != 3:
            raise InputError(
                f"DICOM file {path} has the photometric interpretation "
                f"{dataset.PhotometricInterpretation}, which is not a grey or RGB image"
            )
        return stored.astype(np.float64)
    try:
        shown = _apply_lookup(stored, dataset).astype(np.float64)
    except Exception as error:
        raise InputError(
            f"DICOM file {path} has a grey-scale transform that cannot be applied ({error}); "
            "correct or remove its rescale, window or VOI LUT elements"
        ) from error
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = -shown
    shown[_padding_mask(stored, dataset)] = np.nan
    return shown


def _read_dataset(path: Path, *, stop_before_pixels: bool = False) -> "Dataset":
    try:
        import pydicom
    except ImportError as error:
        raise InputError(f"reading {path} needs pydicom: run 'pip install pydicom'") from error
    try:
        # force reads files without the DICM mark; a file of another kind then has no known elements
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=stop_before_pixels)
    except Exception as error:
        raise InputError(f"DICOM file {path} cannot be read ({error}); copy it again") from error
    if "Rows" not in dataset or "Columns" not in dataset:
        raise InputError(
            f"DICOM file {path} holds no image (no Rows and Columns); it is cut off, or not DICOM"
        )
    return dataset


def _first_frame(dataset: "Dataset", path: Path) -> np.ndarray:
    from pydicom.pixels import get_decoder, pixel_array

    if not any(keyword in dataset for keyword in _PIXEL_KEYWORDS):
        raise InputError(f"DICOM file {path} has no pixel data; it may be cut off, copy it again")
    if "TransferSyntaxUID" not in dataset.file_meta:
        # without a header the pixels can only be uncompressed, in the standard's default order
        from pydicom.uid import ImplicitVRLittleEndian

        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise InputError(
            f"DICOM file {path} uses the transfer syntax {syntax.name}, which pydicom does not "
            "decode; convert the file, for example by 'gdcmconv --raw'"
        ) from error
    if not decoder.is_available:
        raise InputError(
            f"DICOM file {path} is compressed ({syntax.name}) and the package to decode it is "
            "missing: run 'pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg'"
        )
    try:
        return pixel_array(dataset, index=0)
    except Exception as error:
        raise InputError(
            f"the pixels of DICOM file {path} cannot be decoded ({error}); copy the file again"
        ) from error


def _apply_lookup(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Stored values to values for presentation: the modality transform, then the VOI transform."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if keyword in dataset and dataset[keyword].value is None:
            del dataset[keyword]  # an empty element means "not given"
    values = apply_modality_lut(stored, dataset)
    if dataset.get("VOILUTSequence"):
        # pydicom counts the entries in the table's output type: a table of 8 bits with more than
        # 256 entries would wrap around
        descriptor = dataset.VOILUTSequence[0].LUTDescriptor
        descriptor[2] = max(descriptor[2], 16)
        values = np.rint(values).astype(np.int64)
    with np.errstate(over="ignore"):  # exp() in the sigmoid window saturates as it should
        return apply_voi_lut(values, dataset, index=0)


def _padding_mask(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """(H, W) bool: pixels that only fill the frame (PS3.3 C.7.5.1.1.2)."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    # the limit lies below the value for MONOCHROME1
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)
