"""The images that a DICOMDIR, the table of contents of a DICOM medium, lists (PS3.3 annex F)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.images.dicom.other_objects import is_other_object

DIRECTORY_FILE = "DICOMDIR"

_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"


def read_dicomdir(path: Path) -> list[Path]:
    """List the images of a medium, in the order of its table.

    Other objects of the medium, such as reports, are passed over, and so are pictures of results:
    see :func:`medmask.images.dicom.other_objects.is_other_object`.

    Args:
        path: the DICOMDIR.

    Returns:
        Files below its folder. They need not exist; a medium that is mounted in lower case is
        followed.

    Raises:
        InputError: the file is not a DICOMDIR, or lists no image or a file outside of its folder.
    """
    import pydicom

    try:
        directory = pydicom.dcmread(path)
        if directory.file_meta.MediaStorageSOPClassUID != _MEDIA_STORAGE_DIRECTORY:
            raise InputError(f"{path} is a DICOM file, but no DICOMDIR; rename it")
        files = [_file_of(path, record) for record in _image_records(directory)]
    except InputError:
        raise
    except Exception as error:  # whatever pydicom raises on what is no DICOM
        raise InputError(
            f"DICOMDIR {path} cannot be read ({type(error).__name__}); copy it again, or name the "
            "folder of the images instead"
        ) from error
    images = [file for file in files if not is_other_object(file)]
    if not images:
        raise InputError(f"DICOMDIR {path} lists no image: name the folder of the images instead")
    return images


def _image_records(directory: Any) -> Iterator[Any]:
    for record in directory.DirectoryRecordSequence:
        if record.DirectoryRecordType == "IMAGE" and record.get("ReferencedFileID"):
            yield record


def _file_of(path: Path, record: Any) -> Path:
    value = record.ReferencedFileID
    names = [value] if isinstance(value, str) else list(value)
    if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
        raise InputError(
            f"DICOMDIR {path} names a file outside of its folder ({'/'.join(names)[:100]}); name "
            "the folder of the images instead"
        )
    file = path.parent.joinpath(*names)
    lower_case = path.parent.joinpath(*(name.lower() for name in names))
    return lower_case if lower_case.exists() and not file.exists() else file
