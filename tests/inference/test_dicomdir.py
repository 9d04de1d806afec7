"""DICOMDIR as an input: the images that it lists, and nothing outside of its folder."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from medmask.errors import InputError
from medmask.inference import find_images


def write_dicomdir(path, records, storage_class=MediaStorageDirectoryStorage):
    """Write a DICOMDIR of (type, file) records."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = storage_class
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.FileSetID = "MEDIUM"
    dataset.DirectoryRecordSequence = []
    for kind, file in records:
        record = Dataset()
        record.DirectoryRecordType = kind
        if file is not None:
            record.ReferencedFileID = file
        dataset.DirectoryRecordSequence.append(record)
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def medium(tmp_path):
    for name in ("IMAGES/A", "IMAGES/B", "lower/c"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_images_of_a_medium_in_its_order(medium):
    write_dicomdir(
        medium / "DICOMDIR",
        [
            ("PATIENT", None),
            ("IMAGE", ["IMAGES", "B"]),
            ("SR DOCUMENT", ["IMAGES", "REPORT"]),
            ("IMAGE", ["IMAGES", "A"]),
            ("IMAGE", ["LOWER", "C"]),
            ("IMAGE", ["IMAGES", "GONE"]),
        ],
    )
    found = find_images([medium / "DICOMDIR"])
    names = [path.relative_to(medium).as_posix() for path in found.paths]
    assert names == ["IMAGES/B", "IMAGES/A", "lower/c"]
    assert len(found.problems) == 1
    assert "GONE" in found.problems[0]


def test_pictures_of_results_are_passed_over(medium, write_dicom):
    """A medium that a PACS writes lists them as images."""
    for name in ("IMAGES/A", "IMAGES/B"):
        path = write_dicom(np.zeros((4, 4), np.uint8), name=name, Manufacturer="MedMask")
        dataset = pydicom.dcmread(path)
        if name == "IMAGES/B":
            dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        dataset.save_as(path)
    records = [("IMAGE", ["IMAGES", "A"]), ("IMAGE", ["IMAGES", "B"])]
    write_dicomdir(medium / "DICOMDIR", records)
    assert find_images([medium / "DICOMDIR"]).paths == [medium / "IMAGES/A"]


@pytest.mark.parametrize("file", [["..", "secret"], ["a/b"], [".", "x"]])
def test_files_outside_are_refused(medium, file):
    write_dicomdir(medium / "DICOMDIR", [("IMAGE", file)])
    with pytest.raises(InputError, match="names a file outside of its folder"):
        find_images([medium / "DICOMDIR"])


def test_table_without_images_is_refused(medium):
    write_dicomdir(medium / "DICOMDIR", [("PATIENT", None)])
    with pytest.raises(InputError, match="lists no image"):
        find_images([medium / "DICOMDIR"])


def test_what_is_no_table_is_refused(medium):
    (medium / "DICOMDIR").write_bytes(b"no DICOM")
    with pytest.raises(InputError, match="cannot be read"):
        find_images([medium / "DICOMDIR"])
    write_dicomdir(medium / "DICOMDIR", [], storage_class="1.2.840.10008.5.1.4.1.1.1.2")
    with pytest.raises(InputError, match="but no DICOMDIR"):
        find_images([medium / "DICOMDIR"])
