"""Phantom mammograms as DICOM files: modality MG, 12 bits stored in 16."""

import json
from pathlib import Path

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation as MammographyStorage

from medmask.phantom.generator import PhantomImage
from medmask.phantom.grid import Grid
from medmask.phantom.options import PhantomParameters
from medmask.utils.dicom_files import encode_dicom
from medmask.utils.files import errors_name

_BITS = 12
_UNKNOWN = (  # attributes that the standard wants present, if only empty
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientBirthDate",
    "SeriesNumber",
)


def write_dicom(
    path: Path,
    image: PhantomImage,
    patient_id: str,
    parameters: PhantomParameters,
    *,
    monochrome1: bool = False,
) -> None:
    """Write one image; the same image gives the same bytes.

    Args:
        path: the file.
        image: the image.
        patient_id: identifies patient and study.
        parameters: that the image was generated with; they seed the unique identifiers.
        monochrome1: store the values inverted, with white as the lowest value.
    """
    origin = json.dumps(parameters.as_dict())

    def identifier(*what: str) -> UID:
        return generate_uid(entropy_srcs=[origin, patient_id, *what])

    view = (image.laterality, image.view)
    pixels = image.quantized(_BITS)
    if monochrome1:
        pixels = (2**_BITS - 1) - pixels

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MammographyStorage
    meta.MediaStorageSOPInstanceUID = identifier("instance", *view)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian

    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = identifier("study")
    dataset.SeriesInstanceUID = identifier("series", *view)
    for keyword in _UNKNOWN:
        setattr(dataset, keyword, "")
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
    spacing = f"{Grid.of_image(parameters.height, parameters.width).spacing:.6g}"
    dataset.PixelSpacing = dataset.ImagerPixelSpacing = [spacing, spacing]  # millimeters
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
    with errors_name(path):
        path.write_bytes(encode_dicom(dataset))
