"""The conversion of a raw download into a COCO tree.

::

    OUTPUT/
      images/<name>.png                           or links to the raw files
      annotations/instances_<part>.json           malignant lesions of a split, a fold or all images
      annotations/instances_<part>_lesion.json    all lesions
      provenance.json                             what it was made from and how, what was left out
      contact_sheet.png                           images with their lesions, for the eye
      images.jsonl                                what is done, to go on after a kill

The images are written once, by worker processes; further calls with other labels, splits or folds
add annotation files.
"""

import contextlib
import itertools
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medmask.converters.annotations import (
    ConvertedImage,
    find_unknown,
    make_document,
)
from medmask.converters.contact_sheet import write_contact_sheet
from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.image_files import ImageTask, WrittenImage, write_image
from medmask.converters.journal import ImageJournal, open_journal
from medmask.converters.parts import (
    ALL,
    ANNOTATIONS,
    HELDOUT,
    LABELS,
    SPLITS,
    annotation_file,
    fold_part,
)
from medmask.converters.problems import list_first
from medmask.converters.provenance import describe_sources, update_provenance
from medmask.converters.registry import find_converter
from medmask.converters.splits import assign_splits, deal_folds, patient_of
from medmask.errors import InputError
from medmask.utils.files import remove_abandoned_files
from medmask.utils.json_files import valid_unicode, write_json
from medmask.utils.progress import Progress
from medmask.utils.worker_pool import map_in_processes

logger = logging.getLogger(__name__)

IMAGES = "images"


@dataclass(frozen=True)
class ConversionOptions:
    """Choices of a user.

    Attributes:
        labels: the lesions that are annotated, of :data:`LABELS`; each gives files of its own.
        folds: number of patient folds; None writes train, val and test.
        seed: of splits and folds.
        max_size: pixels of the longer side of the images; None for full size.
        link: link to the raw files instead of writing PNG files.
        workers: processes.
        complete: every lesion of a set that does not tell which ones it marks is marked, so that
            an image without any shows none.

    Raises:
        InputError: a value is out of range, or two contradict each other.
    """

    labels: tuple[str, ...] = LABELS
    folds: int | None = None
    seed: int = 0
    max_size: int | None = None
    link: bool = False
    workers: int = 1
    complete: bool = False

    def __post_init__(self) -> None:
        for label in self.labels:
            if label not in LABELS:
                raise InputError(f"label '{label}' is unknown: choose from {', '.join(LABELS)}")
        if not self.labels:
            raise InputError(f"no label is chosen: choose from {', '.join(LABELS)}")
        for name, least in (("folds", 2), ("max_size", 1), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name.replace('_', '-')} is {value}: give {least} or more")
        if self.link and self.max_size is not None:
            raise InputError("--link leaves the files as they are: leave --max-size out")


@dataclass(frozen=True)
class ConversionReport:
    """Outcome of a conversion.

    Attributes:
        files: (images, patients, lesions, images with lesions) of each annotation file by name.
        left_out: images of the raw download that are in no annotation file.
        problems: one sentence each; empty if all went well.
    """

    files: Mapping[str, tuple[int, int, int, int]]
    left_out: Sequence[LeftOut]
    problems: Sequence[str]


def convert(
    name: str, raw: Path, output: Path, options: ConversionOptions, *, show_progress: bool = False
) -> ConversionReport:
    """Convert a data set; the same call goes on where it was stopped.

    Args:
        name: of the set, in :mod:`medmask.converters.registry`.
        raw: the folder of the raw download.
        output: the folder to write.
        options: what the user chose.
        show_progress: whether to tell how far it is.

    Raises:
        InputError: there is nothing to convert, or the output holds something else.
    """
    converter = find_converter(name)
    if options.link and converter.read_pixels is not None:
        raise InputError(f"the files of {converter.title} cannot be linked to: leave --link out")
    if not raw.is_dir():
        raise InputError(f"raw folder {raw} does not exist or is no folder; give the download's")
    if output.resolve() == raw.resolve():
        raise InputError(f"--output {output} is the raw folder itself: choose another one")
    if options.link and raw.resolve() in output.resolve().parents:
        raise InputError(
            f"--output {output} is in the raw folder, where the links would be taken for images of "
            "it: choose another one, or leave --link out"
        )
    if options.complete and converter.marked is not MarkedLesions.UNTOLD:
        raise InputError(
            f"which lesions {converter.title} marks is known: leave --complete out, which is for a "
            "COCO tree of your own"
        )
    contents = _check_names(converter.read(raw))
    if not contents.images:
        raise InputError(
            "\n".join(list_first(contents.problems)) or _nothing_to_convert(raw, contents)
        )
    if options.complete:
        converter = replace(converter, marked=MarkedLesions.ALL)
        contents = replace(contents, images=list(map(_call_free_of_malignancy, contents.images)))
    _choose_parts(contents.images, options)  # refuses too many folds before the work
    _warn_of_unknown_patients(contents.images, raw)
    settings = {"set": converter.name, "max_size": options.max_size, "link": options.link}
    with open_journal(output, settings) as journal:
        remove_abandoned_files(output)
        tasks = [
            ImageTask(i, output / IMAGES, converter.read_pixels, options.max_size, options.link)
            for i in contents.images
        ]
        written = _write_images(tasks, journal, options.workers, show_progress)
        return _write_rest(converter, raw, output, options, contents, written)


def _call_free_of_malignancy(image: SourceImage) -> SourceImage:
    """Label an image of a set that marks all lesions, if nothing is marked on it, and none told."""
    if image.lesions or image.lesion or image.malignant is not None:
        return image
    return replace(image, malignant=False)


def _nothing_to_convert(raw: Path, contents: Contents) -> str:
    why = [
        f"; left out: {len(contents.left_out)}, the first, {each.name}, because {each.reason}"
        for each in contents.left_out[:1]
    ]
    return f"{raw} holds no images to convert{''.join(why)}"


def _warn_of_unknown_patients(images: Sequence[SourceImage], raw: Path) -> None:
    alone = sum(image.patient_id is None for image in images)
    if alone:
        logger.warning(
            "%d of the %d images of %s have no patient id: each counts as a patient of its own, "
            "and splits may share a patient",
            *(alone, len(images), valid_unicode(raw)),
        )


def _check_names(contents: Contents) -> Contents:
    """Leave out all but the first image of a name, as they would be one file."""
    counts = Counter(image.name for image in contents.images)
    problems = [
        f"{count} images have the name {name}, of which only the first is converted; the raw "
        "folder holds them several times"
        for name, count in counts.items()
        if count > 1
    ]
    images = list({image.name: image for image in reversed(contents.images)}.values())
    images.sort(key=lambda image: image.name)
    return replace(contents, images=images, problems=[*contents.problems, *problems])


def _write_images(
    tasks: Sequence[ImageTask], journal: ImageJournal, workers: int, show_progress: bool
) -> list[WrittenImage]:
    """Write those that are not there yet; returns all, in the order of the tasks."""
    done = {task.image.name: journal.find(task) for task in tasks}
    missing = [task for task in tasks if done[task.image.name] is None]
    with (
        contextlib.closing(map_in_processes(write_image, missing, workers)) as results,
        Progress(
            "writing",
            len(tasks),
            "image",
            done_before=len(tasks) - len(missing),
            show_progress=show_progress,
        ) as progress,
    ):
        for task, written in zip(missing, results, strict=True):
            done[task.image.name] = written
            if written.error is None:
                journal.append(task, written)
            progress.advance()
    return [written for written in done.values() if written is not None]


def _write_rest(
    converter: Converter,
    raw: Path,
    output: Path,
    options: ConversionOptions,
    contents: Contents,
    written: Sequence[WrittenImage],
) -> ConversionReport:
    """Write annotations, provenance and contact sheet."""
    failed = [each for each in written if each.error is not None]
    problems = [*contents.problems, *(str(each.error) for each in failed)]
    left_out = [*contents.left_out, *(LeftOut(each.name, str(each.error)) for each in failed)]
    images = [
        ConvertedImage(number, source, each)
        for number, (source, each) in enumerate(zip(contents.images, written, strict=True), start=1)
        if each.error is None
    ]
    if not images:
        raise InputError("\n".join(list_first(problems)))
    problems += write_contact_sheet(output / "contact_sheet.png", output / IMAGES, images)
    parts, how = _choose_parts([image.source for image in images], options)
    files = {}
    unknown_of_labels = {}
    for label in options.labels:
        unknown = find_unknown(images, label, converter.marked)
        unknown_of_labels[label] = list(unknown.values())
        for part, names in parts.items():
            chosen = [
                image
                for image in images
                if image.source.name in names and image.source.name not in unknown
            ]
            description = f"{converter.title}, {label}, {part}: {how}"
            document = make_document(chosen, label, description, converter.marked)
            write_json(output / ANNOTATIONS / annotation_file(part, label), document)
            files[annotation_file(part, label)] = _count(chosen, document)
        if options.folds is not None:
            _remove_folds_from(options.folds, output / ANNOTATIONS, label)
    update_provenance(
        output,
        {
            "set": converter.name,
            "title": converter.title,
            "options": {
                "max_size": options.max_size,
                "link": options.link,
                "complete": options.complete,
            },
            "sources": describe_sources(raw, contents.sources, [i.written for i in images]),
            "left_out": [_describe(each) for each in left_out],
            "problems": [valid_unicode(problem) for problem in problems],
        },
        {
            name: dict(
                zip(("images", "patients", "lesions", "images_with_lesions"), counts, strict=True),
                split=how,
            )
            for name, counts in files.items()
        },
        {label: list(map(_describe, unknown)) for label, unknown in unknown_of_labels.items()},
    )
    in_no_file = [*left_out, *_in_all(list(unknown_of_labels.values()))]
    return ConversionReport(files, in_no_file, problems)


def _choose_parts(
    images: Sequence[SourceImage], options: ConversionOptions
) -> tuple[dict[str, set[str]], str]:
    """The names of the images of each annotation file, and how they were chosen."""
    parts = {ALL: {image.name for image in images}}
    if options.folds is None:
        splits, how = assign_splits(images, options.seed)
        for split in SPLITS:
            parts[split] = {name for name, each in splits.items() if each == split}
        parts[HELDOUT] = parts["val"] | parts["test"]
        return parts, how
    fold_of = deal_folds(images, options.folds, options.seed)
    for fold in range(options.folds):
        test = {name for name, each in fold_of.items() if each == fold}
        parts |= {fold_part(fold, "test"): test, fold_part(fold, "train"): parts[ALL] - test}
    return parts, f"{options.folds} folds by patient, by a hash with the seed {options.seed}"


def _remove_folds_from(first: int, folder: Path, label: str) -> None:
    """Remove the files of an earlier deal to more folds, which train on what these test on."""

    def files(fold: int) -> list[Path]:
        return [folder / annotation_file(fold_part(fold, x), label) for x in ("train", "test")]

    def is_there(fold: int) -> bool:
        return any(path.exists() for path in files(fold))

    for fold in reversed([*itertools.takewhile(is_there, itertools.count(first))]):
        for path in files(fold):  # the last fold first, so that a kill leaves no gap
            path.unlink(missing_ok=True)
            logger.info("removed %s, of an earlier deal to more folds", valid_unicode(path))


def _count(images: Sequence[ConvertedImage], document: dict[str, Any]) -> tuple[int, int, int, int]:
    annotations = document["annotations"]
    return (
        len(images),
        len({patient_of(image.source) for image in images}),
        len(annotations),
        len({annotation["image_id"] for annotation in annotations}),
    )


def _describe(left_out: LeftOut) -> dict[str, str]:
    return {key: valid_unicode(text) for key, text in vars(left_out).items()}


def _in_all(groups: list[list[LeftOut]]) -> list[LeftOut]:
    """Those that every label leaves out."""
    names = set.intersection(*({each.name for each in group} for group in groups))
    return [each for each in groups[0] if each.name in names]
