"""A full check of data sets on disk: annotations, image sizes, and overlap between splits."""

import filecmp
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from detectron2.data import MetadataCatalog

from medmask.coco import check_content, image_label, is_length, name_problems
from medmask.data.catalog import CocoMetadata, check_registered
from medmask.data.contradictions import copy_problems, denial_problems
from medmask.data.dataset_dicts import advise_on_turned_size
from medmask.data.outlines import outline_problems
from medmask.data.pixel_spacing import spacing_problems
from medmask.errors import InputError
from medmask.images import read_image_size
from medmask.utils.counts import counted
from medmask.utils.json_files import read_json
from medmask.utils.progress import with_progress

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST_SHARED_SHOWN = 5


@dataclass(frozen=True)
class DatasetReport:
    """Counts of a data set, and the problems that were found in it.

    Args:
        name: of the data set.
        problems: one sentence each; empty if the set is sound.
        image_root: the image folder; None if it was not looked at.
        file_names: of all images, relative to it.
        patients: the patient ids of the images.
        num_lesions: annotations that are not crowds.
        num_images_with_lesions: images that have such an annotation.
        box_sides: (N,) square root of the area of each sound box, in pixels.
    """

    name: str
    problems: list[str]
    image_root: Path | None = None
    file_names: frozenset[str] = frozenset()
    patients: frozenset[str] = frozenset()
    num_lesions: int = 0
    num_images_with_lesions: int = 0
    box_sides: np.ndarray = field(default_factory=lambda: np.empty(0))

    def summary(self) -> str:
        """Counts and the quantiles of the box sizes, in one line."""
        if not self.file_names:
            return "no image was looked at"
        patients = counted(len(self.patients), "patient") if self.patients else "no patient ids"
        counts = (
            f"{counted(len(self.file_names), 'image')} ({self.num_images_with_lesions} with "
            f"lesions), {counted(self.num_lesions, 'lesion')}, {patients}"
        )
        if not len(self.box_sides):
            return counts
        sides = np.quantile(self.box_sides, _QUANTILES)
        quantiles = ", ".join(
            f"{quantile:.0%} {side:.0f}" for quantile, side in zip(_QUANTILES, sides, strict=True)
        )
        return f"{counts}; box side (root of the area) in pixels: {quantiles}"


def inspect_registered_dataset(name: str) -> DatasetReport:
    """Check a data set of Detectron2's catalog; see :func:`inspect_dataset`.

    Raises:
        InputError: no data set has this name, or it was not registered by medmask.
    """
    check_registered(name)
    metadata = MetadataCatalog.get(name)
    if not isinstance(metadata, CocoMetadata):
        raise InputError(
            f"data set '{name}' was not registered by medmask; give its files by --json and "
            "--images instead"
        )
    try:
        json_file, image_root = metadata.json_file, metadata.image_root
    except InputError as error:
        return DatasetReport(name, [str(error)])
    return inspect_dataset(name, json_file, image_root, metadata.layout.thing_classes)


def inspect_dataset(
    name: str,
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    thing_classes: Sequence[str] | None = None,
) -> DatasetReport:
    """Check a data set, and the header of every image; tells how far it is.

    Args:
        name: of the data set in the report.
        json_file: its annotation file.
        image_root: the folder that the file names are relative to.
        thing_classes: its classes, see :func:`medmask.coco.map_categories`.

    Returns:
        The report. A file that cannot be read at all is a problem in it, not an error.
    """
    try:
        content = read_json(json_file, "annotation file")
    except InputError as error:
        return DatasetReport(name, [str(error)])
    tables, problems = check_content(content, image_root=image_root, thing_classes=thing_classes)
    if tables is None:
        return DatasetReport(name, problems)
    problems += outline_problems(tables)
    problems += copy_problems(tables)
    problems += denial_problems(tables)
    problems += spacing_problems(tables.images)
    problems += _size_problems(tables.images, Path(image_root), name)
    annotations = tables.annotations
    is_lesion = ~annotations.is_crowd()
    images_with_lesions = annotations.image_indices[is_lesion & (annotations.image_indices >= 0)]
    sides = annotations.boxes[is_lesion, 2:]
    return DatasetReport(
        name=name,
        problems=problems,
        image_root=Path(image_root),
        file_names=frozenset(_values(tables.images, "file_name")),
        patients=frozenset(_values(tables.images, "patient_id")),
        num_lesions=int(np.count_nonzero(is_lesion)),
        num_images_with_lesions=len(np.unique(images_with_lesions)),
        box_sides=np.sqrt(sides[(sides > 0).all(axis=1)].prod(axis=1)),
    )


def find_overlaps(first: DatasetReport, second: DatasetReport) -> list[str]:
    """List the images and patients that two splits of a data set share, which must not.

    Files of one name in different folders are one image if they are alike, byte for byte.

    Returns:
        One sentence for each kind of overlap.
    """
    problems = []
    for kind, shared in _shared(first, second).items():
        shown = ", ".join(sorted(shared)[:_MOST_SHARED_SHOWN])
        rest = " ..." if len(shared) > _MOST_SHARED_SHOWN else ""
        problems.append(
            f"{first.name} and {second.name} share {counted(len(shared), kind)} ({shown}{rest}); "
            "each must be in one split only"
        )
    return problems


def note_overlaps(first: DatasetReport, second: DatasetReport) -> list[str]:
    """Tell what two parts of a data set share that may, in one sentence or none."""
    shared = _shared(first, second)
    if not shared:
        return []
    counts = " and ".join(counted(len(names), kind) for kind, names in shared.items())
    return [
        f"note: {first.name} and {second.name} share {counts}, which such parts of a set may: do "
        "not train on one and test on the other"
    ]


def _shared(first: DatasetReport, second: DatasetReport) -> dict[str, frozenset[str]]:
    """Find what is in both of two data sets, by kind, without empty kinds."""
    names = first.file_names & second.file_names
    kinds = {
        "image": frozenset(name for name in names if _is_one_image(name, first, second)),
        "patient": first.patients & second.patients,
    }
    return {kind: shared for kind, shared in kinds.items() if shared}


def _is_one_image(name: str, first: DatasetReport, second: DatasetReport) -> bool:
    """Tell whether a name means one image in two sets, which may count theirs from 1 each."""
    if first.image_root is None or second.image_root is None:
        return True
    one, other = first.image_root / name, second.image_root / name
    try:
        return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)
    except (OSError, ValueError):  # it cannot be read, which is another problem
        return True


def _values(images: list[dict], field_name: str) -> Iterator[str]:
    return (str(image[field_name]) for image in images if image.get(field_name) is not None)


def _size_problems(images: list[dict], image_root: Path, name: str) -> Iterator[str]:
    for image in with_progress(images, f"{name}: image headers", "image", stays=False):
        if any(name_problems(image)):
            continue  # check_content has reported it
        path = image_root / image["file_name"]
        if not os.path.isfile(path):
            continue  # likewise
        try:
            height, width = read_image_size(path)
        except InputError as error:
            yield str(error)
            continue
        told = image.get("width"), image.get("height")
        if all(map(is_length, told)) and told != (width, height):
            yield (
                f"{image_label(image)} is {width} x {height} (width x height) on disk, but the "
                f"annotation file says {told[0]} x {told[1]}"
                f"{advise_on_turned_size((height, width), image)}"
            )
