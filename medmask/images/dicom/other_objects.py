"""DICOM files among those of a study that are no images to detect in, by their class."""

from pathlib import Path

from medmask.errors import InputError
from medmask.images.dicom.parsing import open_dicom

MANUFACTURER = "MedMask"
"""Manufacturer (0008,0070) of the objects that this package writes"""

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def is_other_object(path: Path) -> bool:
    """Tell whether a DICOM file is a report, a presentation state or the like, or a result of ours.

    Studies that a PACS exports hold them beside the images. Only the first bytes of most files are
    read: the class that they state. A file that states none, or none of the standard, counts as an
    image.

    Args:
        path: a file that is DICOM or may be.
    """
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import UID

    try:
        stated = UID(str(read_file_meta_info(path).get("MediaStorageSOPClassUID", "")))
    except Exception:  # pydicom's own and others: a damaged file is named when it is read
        return False
    if stated == _SECONDARY_CAPTURE:
        return _is_of_ours(path)
    return "Storage" in stated.name and "Image Storage" not in stated.name


def _is_of_ours(path: Path) -> bool:
    """Tell whether a picture is one of :mod:`medmask.dicom_results`, with boxes burnt in."""
    try:
        with open_dicom(path) as file:
            return file.elements.text("Manufacturer") == MANUFACTURER
    except (InputError, OSError):
        return False
