"""Writing the images of patients as files, by any number of worker processes."""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from medmask.phantom.dicom import write_dicom
from medmask.phantom.generator import PhantomImage, generate_patient
from medmask.phantom.options import PhantomParameters
from medmask.utils.worker_pool import map_in_processes

_PNG_COMPRESSION = [cv2.IMWRITE_PNG_COMPRESSION, 6]


@dataclass(frozen=True)
class PatientTask:
    """One patient to write; it is sent to a worker process."""

    parameters: PhantomParameters
    domain: str
    split: str
    index: int
    images: int
    folder: Path
    file_format: str


def write_patients(tasks: Sequence[PatientTask], workers: int) -> Generator[list[dict], None, None]:
    """Write patients, by worker processes if there is more than one; yields in order.

    Raises:
        InputError: a worker process died.
    """
    yield from map_in_processes(_write_patient, tasks, workers, chunk=4)


def _write_patient(task: PatientTask) -> list[dict]:
    """Generate and write one patient; returns one record per image."""
    patient = generate_patient(task.parameters, task.domain, task.split, task.index)
    records = []
    for image in patient.images[: task.images]:
        suffix = "dcm" if task.file_format == "dicom" else "png"
        name = f"{patient.patient_id}_{image.laterality}_{image.view}.{suffix}"
        if task.file_format == "dicom":
            # Every second film patient comes inverted, as from some digitizers.
            monochrome1 = task.domain == "film" and task.index % 2 == 1
            write_dicom(
                task.folder / name,
                image,
                patient.patient_id,
                task.parameters,
                monochrome1=monochrome1,
            )
        else:
            _write_png(task.folder / name, image, bits=16 if task.file_format == "png16" else 8)
        records.append(
            {
                "file_name": name,
                "height": task.parameters.height,
                "width": task.parameters.width,
                "patient_id": patient.patient_id,
                "view": image.view,
                "laterality": image.laterality,
                "lesions": [asdict(lesion) for lesion in image.lesions],
            }
        )
    return records


def _write_png(path: Path, image: PhantomImage, bits: int) -> None:
    pixels = image.quantized(8) if bits == 8 else image.quantized(12)
    encoded, data = cv2.imencode(".png", pixels, _PNG_COMPRESSION)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode {path}")
    path.write_bytes(np.asarray(data).tobytes())
