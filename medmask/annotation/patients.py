"""The patient of each image, as its data set or its header tells."""

import os
from collections.abc import Sequence

from medmask.data.dataset_dicts import patient_of
from medmask.data.loaders import load_dataset_dicts
from medmask.dicom_results.predictions import ScoredImage
from medmask.errors import InputError
from medmask.images import is_dicom, split_frame_path
from medmask.images.dicom.parsing import open_dicom


def find_patients(images: Sequence[ScoredImage], dataset: str | None = None) -> list[str]:
    """Name the patient of each image.

    Args:
        images: to name them of.
        dataset: name of a registered set that all of them are in. An image to which it gives no
            patient counts as one of its own. None for the header of a DICOM file.

    Raises:
        InputError: the patient of an image is not told.
    """
    if dataset is not None:
        return _of_dataset(images, dataset)
    return [_of_header(image) for image in images]


def _of_dataset(images: Sequence[ScoredImage], dataset: str) -> list[str]:
    by_file = {
        os.path.realpath(record["file_name"]): patient_of(record)
        for record in load_dataset_dicts(dataset)
    }
    patients = []
    for image in images:
        patient = by_file.get(os.path.realpath(image.path))
        if patient is None:
            raise InputError(f"image {image.path} is none of the data set {dataset}")
        patients.append(patient)
    return patients


def _of_header(image: ScoredImage) -> str:
    path, _ = split_frame_path(image.path)
    patient = ""
    if path.is_file() and is_dicom(path):
        with open_dicom(path) as file:
            patient = file.elements.identifier("PatientID")
    if not patient:
        raise InputError(
            f"image {image.path} does not tell its patient: give --dataset with patient_id on its "
            "images, or leave out --patients"
        )
    return f"patient {patient}"
