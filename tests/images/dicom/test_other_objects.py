"""DICOM objects without an image to detect in, by the class that their files state."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    BasicTextSRStorage,
    BreastTomosynthesisImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
)

from medmask.images.dicom.other_objects import MANUFACTURER, is_other_object

PIXELS = np.arange(600, dtype=np.uint16).reshape(30, 20)


@pytest.fixture
def write_class(write_dicom):
    def write(storage, **elements):
        path = write_dicom(PIXELS, name="a.dcm", SOPClassUID=storage, **elements)
        dataset = pydicom.dcmread(path)
        dataset.file_meta.MediaStorageSOPClassUID = storage
        dataset.save_as(path)
        return path

    return write


@pytest.mark.parametrize(
    "storage",
    [
        BasicTextSRStorage,
        MammographyCADSRStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        KeyObjectSelectionDocumentStorage,
        EncapsulatedPDFStorage,
    ],
)
def test_reports_and_the_like(write_class, storage):
    assert is_other_object(write_class(storage))


@pytest.mark.parametrize(
    "storage",
    [
        DigitalMammographyXRayImageStorageForPresentation,
        BreastTomosynthesisImageStorage,
        SecondaryCaptureImageStorage,
        "1.2.3.4",
    ],
)
def test_images_and_unknown_classes(write_class, storage):
    assert not is_other_object(write_class(storage, Manufacturer="ACME"))


def test_pictures_of_results(write_class):
    assert is_other_object(write_class(SecondaryCaptureImageStorage, Manufacturer=MANUFACTURER))


def test_damaged_files_are_named_by_who_reads_them(tmp_path):
    path = tmp_path / "a.dcm"
    for content in (b"", bytes(128) + b"DICM", bytes(128) + b"DICM\x02\x00\x00\x00UL\xff"):
        path.write_bytes(content)
        assert not is_other_object(path)
