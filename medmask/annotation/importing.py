"""From a file of readers' annotations to a COCO set."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medmask.annotation.coco_set import common_root, make_coco_set
from medmask.annotation.corrections import KEPT, Correction, correct
from medmask.annotation.cvat import REVIEWED
from medmask.annotation.manifest import MANIFEST, Manifest, read_manifest
from medmask.annotation.merging import merge_into_set
from medmask.annotation.reader_annotations import ReaderAnnotations, drop_copies
from medmask.annotation.reading import read_annotations
from medmask.coco import check_class_names
from medmask.errors import InputError
from medmask.utils.file_hash import hash_file
from medmask.utils.json_files import finite_values, write_json
from medmask.utils.progress import with_progress


@dataclass(frozen=True)
class ImportSummary:
    """Outcome of reading annotations back.

    Attributes:
        image_root: folder that the set's file names are relative to.
        reviewed: images in the set.
        normal: those of them without a lesion.
        not_reviewed: images that are in the file, but were not looked at.
        absent: images of the export that are not in the file.
        lesions: how many of each origin, see :mod:`medmask.annotation.corrections`, and how many
            were ``deleted``.
        notes: on things that were taken over in another form, or that a header does not tell.
        problems: one sentence for each image that was reviewed, but is not in the set.
    """

    image_root: Path
    reviewed: int
    normal: int
    not_reviewed: int
    absent: int
    lesions: Counter[str]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def import_annotations(
    export: Path,
    annotations: Path,
    output: Path,
    *,
    classes: Sequence[str] | None = None,
    image_root: Path | None = None,
    merge_with: Path | None = None,
    all_reviewed: bool = False,
) -> ImportSummary:
    """Write the COCO set of images that readers have reviewed.

    An image that was not looked at is not in it, which says nothing of its lesions.

    Args:
        export: output folder of the export.
        annotations: file of an annotation tool.
        output: annotation file to write.
        classes: that annotations may be of; those of the export if None.
        image_root: folder that file names shall be relative to; found if None.
        merge_with: annotation file in whose place the result is to be used: it holds the images of
            that as well, see :func:`medmask.annotation.merging.merge_into_set`.
        all_reviewed: whether every image in a file of CVAT was looked at.

    Raises:
        InputError: a file is missing or faulty, the classes are none, or no image was reviewed.
        OSError: the set cannot be written.
    """
    manifest = read_manifest(export / MANIFEST)
    found = drop_copies(read_annotations(annotations, all_reviewed=all_reviewed))
    if classes is not None:
        check_class_names(classes)
    names = manifest.classes if classes is None else tuple(classes)
    problems: list[str] = []
    reviewed = _find_reviewed(manifest, found, names, problems)
    corrections = tuple(_with_sound_sources(reviewed, problems))
    if not corrections:
        advice = (
            f" ({problems[0]})"
            if problems
            else ": submit tasks in Label Studio, give the tag reviewed in CVAT, or say of a file "
            "of CVAT that every image in it was looked at (--all-reviewed)"
        )
        raise InputError(
            f"{annotations} has no image that was reviewed and can be taken over{advice}"
        )
    notes = list(found.notes)
    root = (image_root or common_root(corrections)).absolute()
    if merge_with is None:
        content = make_coco_set(corrections, names, root, notes)
    else:
        content = merge_into_set(corrections, merge_with, root, names, notes)
    write_json(output, finite_values(content))  # of a set, NaN may be "not given"
    lesions = Counter(x.origin for correction in corrections for x in correction.lesions)
    lesions["deleted"] = sum(correction.deleted for correction in corrections)
    in_file = {image.name for image in found.images}
    return ImportSummary(
        image_root=root,
        reviewed=len(corrections),
        normal=sum(not correction.lesions for correction in corrections),
        not_reviewed=sum(not image.is_reviewed for image in found.images),
        absent=sum(image.name not in in_file for image in manifest.images),
        lesions=lesions,
        notes=tuple(notes),
        problems=tuple(problems),
    )


def _find_reviewed(
    manifest: Manifest, found: ReaderAnnotations, classes: Sequence[str], problems: list[str]
) -> list[Correction]:
    """Corrections in the order of the export."""
    exported = {image.name: image for image in manifest.images}
    twice = [name for name, count in Counter(x.name for x in found.images).items() if count > 1]
    corrections: dict[str, Correction] = {}
    untagged: list[Correction] = []
    problems += [f"image {name} is in the file several times" for name in twice]
    for image in found.images:
        if image.name in twice:
            continue
        if image.name not in exported:
            problems.append(f"image {image.name} is none of the export")
            continue
        try:
            if image.problem is not None:
                raise InputError(image.problem)
            correction = correct(exported[image.name], image, classes)
        except InputError as error:
            problems.append(str(error))
            continue
        if image.is_reviewed:
            corrections[image.name] = correction
        else:
            untagged.append(correction)
    problems += _forgotten_tags(untagged)
    return [corrections[image.name] for image in manifest.images if image.name in corrections]


def _forgotten_tags(untagged: Sequence[Correction]) -> Iterator[str]:
    """Sentences on images that somebody has worked on, but that count as not reviewed.

    Where no pre-annotation of any image is left, they were never loaded into the tool, so that
    their absence tells nothing.
    """
    were_loaded = any(x.origin == KEPT for correction in untagged for x in correction.lesions)
    for correction in untagged:
        was_drawn_on = any(x.origin != KEPT for x in correction.lesions)
        if was_drawn_on or (were_loaded and correction.deleted):
            yield (
                f"image {correction.image.name} was worked on, but has not the tag '{REVIEWED}': "
                "add it in CVAT where the reader is done, or give --all-reviewed"
            )


def _with_sound_sources(
    corrections: Sequence[Correction], problems: list[str]
) -> Iterator[Correction]:
    """Leave out images whose file is not the one that was exported."""
    progress = with_progress(corrections, "comparing images", "image")
    for correction in progress:
        image = correction.image
        try:
            is_same = hash_file(image.source) == image.source_sha256
        except OSError as error:
            problems.append(f"image {image.source} cannot be read: {error.strerror}")
            continue
        if is_same:
            yield correction
        else:
            problems.append(
                f"image {image.source} has changed since it was exported, so that annotations may "
                "be at other pixels: bring the file of then back"
            )
