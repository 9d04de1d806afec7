"""Writing phantom mammograms to disk, in the same COCO tree as a real data set.

<output>/phantom.json                               what was asked for; written last
<output>/<domain>/images/<split>/<file>             PNG or DICOM
<output>/<domain>/annotations/instances_<split>.json
"""

import contextlib
import json
import multiprocessing
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from medmask.errors import InputError
from medmask.phantom.dicom import write_dicom
from medmask.phantom.generator import (
    IMAGES_PER_PATIENT,
    SPLITS,
    PhantomImage,
    PhantomParameters,
    generate_patient,
)
from medmask.phantom.scanner import DOMAINS
from medmask.utils.files import atomic_write
from medmask.utils.parent import become_worker

MANIFEST = "phantom.json"
FORMATS = ("png8", "png16", "dicom")
DEFAULT_SPLIT_SIZES = {"train": 1000, "val": 400, "test": 400}

_PNG_COMPRESSION = [cv2.IMWRITE_PNG_COMPRESSION, 6]


@dataclass(frozen=True)
class _PatientTask:
    """One patient to write; travels to a worker process."""

    parameters: PhantomParameters
    domain: str
    split: str
    index: int
    images: int
    folder: Path
    file_format: str


def make_phantom_dataset(
    output: str | Path,
    parameters: PhantomParameters | None = None,
    *,
    split_sizes: Mapping[str, int] | None = None,
    domains: Sequence[str] = DOMAINS,
    file_format: str = "png8",
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = False,
) -> bool:
    """Write phantom data sets; the same arguments give the same bytes.

    A split's images do not depend on the other splits, on how many images are asked for, or on the
    number of workers: asking for more adds images and changes none.

    Args:
        output: the folder to write; it must be absent, empty, or written by this function before.
        parameters: size, seed and difficulty; the defaults of :class:`PhantomParameters` if None.
        split_sizes: images per split and domain, ``DEFAULT_SPLIT_SIZES`` if None. A split that is
            left out or 0 is not written.
        domains: which scanners, of "film" and "ffdm".
        file_format: "png8" (8-bit grey), "png16" (12-bit values in 16 bits) or "dicom".
        workers: processes. More than one asks that the calling script is importable
            (``if __name__ == "__main__":``).
        overwrite: replace phantoms of other parameters in ``output``.
        progress: show a progress bar.

    Returns:
        True if the phantoms were written, False if the very same ones were already there.

    Raises:
        InputError: a parameter is out of range, or ``output`` holds something else.
    """
    output = Path(output)
    parameters = parameters or PhantomParameters()
    split_sizes = dict(DEFAULT_SPLIT_SIZES if split_sizes is None else split_sizes)
    _check_request(split_sizes, domains, file_format, workers)
    split_sizes = {split: split_sizes[split] for split in SPLITS if split_sizes.get(split)}
    request = {
        **parameters.as_dict(),
        "images": split_sizes,
        "domains": [domain for domain in DOMAINS if domain in domains],
        "format": file_format,
    }
    try:
        if _prepare_output(output, request, overwrite):
            return False
        _write_tree(output, parameters, request, workers, progress)
    except OSError as error:
        raise InputError(f"cannot write phantoms to {output}: {error.strerror}") from error
    return True


def _check_request(
    split_sizes: Mapping[str, int], domains: Sequence[str], file_format: str, workers: int
) -> None:
    for split, size in split_sizes.items():
        if split not in SPLITS:
            raise InputError(f"split '{split}' is unknown: phantoms have {', '.join(SPLITS)}")
        if size < 0:
            raise InputError(f"the number of {split} images is {size}: give 0 or more")
    if not any(split_sizes.values()):
        raise InputError("no images are asked for: give at least one split a size above 0")
    if not domains:
        raise InputError(f"no domain is asked for: choose from {', '.join(DOMAINS)}")
    for domain in domains:
        if domain not in DOMAINS:
            raise InputError(f"domain '{domain}' is unknown: choose from {', '.join(DOMAINS)}")
    if file_format not in FORMATS:
        raise InputError(f"format '{file_format}' is unknown: choose from {', '.join(FORMATS)}")
    if workers < 1:
        raise InputError(f"workers is {workers}: give 1 or more")


def _prepare_output(output: Path, request: dict, overwrite: bool) -> bool:
    """Claim the output folder; returns True if it already holds what is asked for."""
    manifest = output / MANIFEST
    if manifest.is_file():
        try:
            present = json.loads(manifest.read_text(encoding="utf-8"))
            complete = present.pop("complete")
            domains = [domain for domain in DOMAINS if domain in present["domains"]]
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(
                f"{manifest} was not written by this tool: remove {output} or choose another output"
            ) from error
        if complete and present == request:
            return True
        if complete and not overwrite:
            different = [key for key in request if present.get(key) != request[key]]
            raise InputError(
                f"{output} holds phantoms that differ in {', '.join(different)}: "
                "choose another output, or pass --overwrite to replace them"
            )
        for domain in domains:
            if (output / domain).exists():
                shutil.rmtree(output / domain)
    elif output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} exists and holds no phantoms: choose another output")
    # An interrupted run leaves this behind: the folder is ours, and not complete.
    _write_json(manifest, {"complete": False, **request})
    return False


def _write_tree(
    output: Path, parameters: PhantomParameters, request: dict, workers: int, progress: bool
) -> None:
    """Write the images, then the annotations, then the manifest."""
    tasks = list(_patient_tasks(output, parameters, request))
    records: dict[tuple[str, str], list[dict]] = {}
    total = sum(task.images for task in tasks)
    with (
        contextlib.closing(_write_patients(tasks, workers)) as patients,
        tqdm(total=total, unit="image", desc="phantoms", disable=not progress) as bar,
    ):
        for task, written in zip(tasks, patients, strict=True):
            records.setdefault((task.domain, task.split), []).extend(written)
            bar.update(len(written))
    for (domain, split), images in records.items():
        path = output / domain / "annotations" / f"instances_{split}.json"
        _write_json(path, _coco_document(images, parameters, domain, split))
    _write_json(output / MANIFEST, {"complete": True, **request})


def _patient_tasks(
    output: Path, parameters: PhantomParameters, request: dict
) -> Iterator[_PatientTask]:
    for domain in request["domains"]:
        for split, size in request["images"].items():
            folder = output / domain / "images" / split
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(-(-size // IMAGES_PER_PATIENT)):
                images = min(IMAGES_PER_PATIENT, size - index * IMAGES_PER_PATIENT)
                yield _PatientTask(
                    parameters, domain, split, index, images, folder, request["format"]
                )


def _write_patients(
    tasks: Sequence[_PatientTask], workers: int
) -> Generator[list[dict], None, None]:
    """Write patients, by worker processes if there is more than one; yields in order.

    Raises:
        InputError: a worker process died.
    """
    if workers == 1:
        yield from map(_write_patient, tasks)
        return
    # Forking a process that runs the threads of PyTorch or OpenCV can hang the child.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_init_worker)
    try:
        yield from pool.map(_write_patient, tasks, chunksize=4)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process died, perhaps for lack of memory: run the same again, with fewer "
            f"workers than {workers}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _init_worker() -> None:
    become_worker()
    cv2.setNumThreads(1)  # the processes share the cores already


def _write_patient(task: _PatientTask) -> list[dict]:
    """Generate and write one patient; returns one record per image."""
    patient = generate_patient(task.parameters, task.domain, task.split, task.index)
    records = []
    for image in patient.images[: task.images]:
        suffix = "dcm" if task.file_format == "dicom" else "png"
        name = f"{patient.patient_id}_{image.laterality}_{image.view}.{suffix}"
        if task.file_format == "dicom":
            # Every second film patient comes inverted, as from some digitisers.
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
    pixels = image.quantised(8) if bits == 8 else image.quantised(12)
    encoded, data = cv2.imencode(".png", pixels, _PNG_COMPRESSION)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode {path}")
    path.write_bytes(np.asarray(data).tobytes())


def _coco_document(
    images: list[dict], parameters: PhantomParameters, domain: str, split: str
) -> dict:
    """A data set in COCO's format; ids count from 1."""
    document = {
        "info": {
            "description": f"MedMask phantom mammograms, {domain}, {split}",
            "generator": parameters.as_dict(),
        },
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "malignant"}],
    }
    for image_id, record in enumerate(images, start=1):
        lesions = record.pop("lesions")
        document["images"].append({"id": image_id, **record})
        for lesion in lesions:
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": list(lesion["box"]),
                    "area": lesion["box"][2] * lesion["box"][3],
                    "iscrowd": 0,
                    "lesion_type": lesion["lesion_type"],
                }
            )
    return document


def _write_json(path: Path, document: dict) -> None:
    with atomic_write(path, "w") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
