"""Writing phantom mammograms to disk, in the same COCO tree as a real data set.

<output>/phantom.json                               the request; written last
<output>/<domain>/images/<split>/<file>             PNG or DICOM
<output>/<domain>/annotations/instances_<split>.json
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.phantom.generator import IMAGES_PER_PATIENT
from medmask.phantom.options import (
    DEFAULT_SPLIT_SIZES,
    DOMAINS,
    FORMATS,
    SPLITS,
    PhantomParameters,
)
from medmask.phantom.patient_files import PatientTask, write_patients
from medmask.utils.file_lock import locked_folder
from medmask.utils.json_files import write_json
from medmask.utils.progress import Progress

MANIFEST = "phantom.json"
ANNOTATION_VERSION = 2
"""Raised with every change of the annotation files that leaves pixels and boxes as they are."""


def make_phantom_dataset(
    output: str | Path,
    parameters: PhantomParameters | None = None,
    *,
    split_sizes: Mapping[str, int] | None = None,
    domains: Sequence[str] = DOMAINS,
    file_format: str = "png8",
    workers: int = 1,
    overwrite: bool = False,
    show_progress: bool = False,
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
        file_format: "png8" (8-bit gray), "png16" (12-bit values in 16 bits) or "dicom".
        workers: processes. More than one asks that the calling script is importable
            (``if __name__ == "__main__":``).
        overwrite: replace phantoms of other parameters in ``output``.
        show_progress: whether to tell how far it is.

    Returns:
        True if the phantoms were written, False if the very same ones were already there.

    Raises:
        InputError: a parameter is out of range, ``output`` holds something else, or another run is
            writing it.
    """
    output = Path(output)
    parameters = parameters or PhantomParameters()
    split_sizes = dict(DEFAULT_SPLIT_SIZES if split_sizes is None else split_sizes)
    _check_request(split_sizes, domains, file_format, workers)
    split_sizes = {split: split_sizes[split] for split in SPLITS if split_sizes.get(split)}
    request = {
        **parameters.as_dict(),
        "annotation_version": ANNOTATION_VERSION,
        "images": split_sizes,
        "domains": [domain for domain in DOMAINS if domain in domains],
        "format": file_format,
    }
    try:
        # without the lock: many may ask at once for what is there
        if _read_manifest(output) == {"complete": True, **request}:
            return False
        with _locked(output):
            if _prepare_output(output, request, overwrite):
                return False
            _write_tree(output, parameters, request, workers, show_progress)
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


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Keep other runs from writing the folder meanwhile, which is made if it is absent."""
    if output.exists() and not output.is_dir():
        raise _foreign(output)
    output.mkdir(parents=True, exist_ok=True)
    sentence = (
        f"another run is writing phantoms to {output}: wait for its end, or choose another output"
    )
    with locked_folder(output, sentence):
        yield


def _foreign(output: Path) -> InputError:
    return InputError(f"{output} exists and holds no phantoms: choose another output")


def _read_manifest(output: Path) -> dict[str, Any] | None:
    """Read the request that phantoms were made for, and whether it is ``complete``; None if absent.

    Raises:
        InputError: the file is something else.
    """
    manifest = output / MANIFEST
    if not manifest.is_file():
        return None
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        if isinstance(content["complete"], bool) and isinstance(content["domains"], list):
            return content
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InputError(
        f"{manifest} was not written by this tool: remove {output} or choose another output"
    )


def _prepare_output(output: Path, request: dict, overwrite: bool) -> bool:
    """Claim the output folder; returns True if it already holds what is asked for."""
    present = _read_manifest(output)
    if present == {"complete": True, **request}:
        return True
    if present is not None:
        if present["complete"] and not overwrite:
            different = [key for key in request if present.get(key) != request[key]]
            raise InputError(
                f"{output} holds phantoms that differ in {', '.join(different)}: "
                "choose another output, or pass --overwrite to replace them"
            )
        for domain in DOMAINS:
            if domain in present["domains"] and (output / domain).exists():
                shutil.rmtree(output / domain)
    elif any(output.iterdir()):
        raise _foreign(output)
    # An interrupted run leaves this behind: the folder is ours, and not complete.
    write_json(output / MANIFEST, {"complete": False, **request})
    return False


def _write_tree(
    output: Path, parameters: PhantomParameters, request: dict, workers: int, show_progress: bool
) -> None:
    """Write the images, then the annotations, then the manifest."""
    tasks = list(_patient_tasks(output, parameters, request))
    records: dict[tuple[str, str], list[dict]] = {}
    total = sum(task.images for task in tasks)
    with (
        contextlib.closing(write_patients(tasks, workers)) as patients,
        Progress("phantoms", total, "image", show_progress=show_progress) as progress,
    ):
        for task, written in zip(tasks, patients, strict=True):
            records.setdefault((task.domain, task.split), []).extend(written)
            progress.advance(len(written))
    for (domain, split), images in records.items():
        path = output / domain / "annotations" / f"instances_{split}.json"
        write_json(path, _coco_document(images, parameters, domain, split))
    write_json(output / MANIFEST, {"complete": True, **request})


def _patient_tasks(
    output: Path, parameters: PhantomParameters, request: dict
) -> Iterator[PatientTask]:
    for domain in request["domains"]:
        for split, size in request["images"].items():
            folder = output / domain / "images" / split
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(-(-size // IMAGES_PER_PATIENT)):
                images = min(IMAGES_PER_PATIENT, size - index * IMAGES_PER_PATIENT)
                yield PatientTask(
                    parameters, domain, split, index, images, folder, request["format"]
                )


def _coco_document(
    images: list[dict], parameters: PhantomParameters, domain: str, split: str
) -> dict:
    """A data set in COCO's format; ids count from 1."""
    document: dict[str, Any] = {
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
        document["images"].append({"id": image_id, **record, "malignant": bool(lesions)})
        for lesion in lesions:
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": list(lesion["box"]),
                    "area": lesion["box"][2] * lesion["box"][3],
                    "segmentation": {
                        "size": [record["height"], record["width"]],
                        "counts": list(lesion["runs"]),
                    },
                    "iscrowd": 0,
                    "lesion_type": lesion["lesion_type"],
                }
            )
    return document
