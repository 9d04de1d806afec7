"""Writing DICOM files."""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset


def encode_dicom(dataset: "Dataset") -> bytes:
    """Encode a dataset as a file, whole, before any of it is written.

    pydicom, where it writes to a disk itself, turns the error of a full one into another, with a
    traceback as its text and without its number.
    """
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
