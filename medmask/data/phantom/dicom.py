"""Phantom mammograms as DICOM files: modality MG, 12 bits stored in 16."""

from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation as MammographyStorage
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medmask.data.phantom.generator import PhantomImage

_BITS = 12


def write_dicom(
    path: Path, image: PhantomImage, patient_id: str, spacing: float, *, monochrome1: bool = False
) -> None:
    """Write one image; the same image gives the same bytes.

    Args:
        path: the file.
        image: the image.
        patient_id: identifies patient and study; also seeds the unique identifiers.
        spacing: millimetres per pixel.
        monochrome1: store the values inverted, with white as the lowest value.
    """
    name = f"{patient_id}_{image.laterality}_{image.view}"
    pixels = image.quantised(_BITS)
    if monochrome1:
        pixels = (2**_BITS - 1) - pixels

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MammographyStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["instance", name])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian

    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", patient_id])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", name])
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.Manufacturer = "MedMask phantom generator"
    dataset.PatientID = patient_id
    dataset.PatientName = patient_id
    dataset.PatientSex = "F"
    dataset.BodyPartExamined = "BREAST"
    dataset.ImageLaterality = image.laterality
    dataset.ViewPosition = image.view
    dataset.BurnedInAnnotation = "NO"
    dataset.PixelSpacing = [f"{spacing:.6g}"] * 2
    dataset.ImagerPixelSpacing = [f"{spacing:.6g}"] * 2
    dataset.InstanceNumber = 1
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if monochrome1 else "IDENTITY"
    dataset.BitsAllocated = 16
    dataset.BitsStored = _BITS
    dataset.HighBit = _BITS - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
