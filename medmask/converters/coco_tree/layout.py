"""The annotation files of a COCO tree: which of them is read, and the splits that they tell.

::

    RAW/
      annotations/instances_all_lesion.json    all images; or _abnormality.json, or neither ending
      annotations/instances_{train,val,test}_lesion.json    the same images in splits, if any
      images/    or images/{train,val,test}/ where there is no file of all images
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medmask.coco import read_coco
from medmask.converters.parts import SPLITS
from medmask.errors import InputError
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)

_ENDINGS = ("_lesion", "_abnormality", "")
"""Ends of the names of files; those with any lesion go before those that may lack benign ones."""


@dataclass(frozen=True)
class AnnotationFiles:
    """The files of a tree.

    Attributes:
        raw: the tree.
        whole: the file of all images; None if those of the splits are all there is.
        splits: split to its file.
    """

    raw: Path
    whole: Path | None
    splits: dict[str, Path]

    def to_read(self) -> Iterator[tuple[Path, str | None, Path]]:
        """Yield each file whose images are converted, its split and the folder of its images."""
        images = self.raw / "images"
        if self.whole is not None:
            yield self.whole, None, images
            return
        for split, path in self.splits.items():
            yield path, split, images / split if (images / split).is_dir() else images


def find_annotation_files(raw: Path) -> AnnotationFiles:
    """Find the files to read.

    Raises:
        InputError: there are none, or it is not clear which one is meant.
    """
    folder = raw / "annotations"
    files = sorted(folder.glob("[!.]*.json"))
    if not files:
        raise InputError(
            f"{folder} holds no JSON file: give a folder with annotations/instances_all.json and "
            "images/"
        )
    found = [AnnotationFiles(raw, *_files_of(folder, ending)) for ending in _ENDINGS]
    for each in found:
        if each.whole is not None or len(each.splits) == len(SPLITS):
            return each
    for each in found:
        if each.splits:
            _warn_of_one_split(each)
            return each
    if len(files) == 1:
        return AnnotationFiles(raw, files[0], {})
    raise InputError(
        f"{folder} holds {len(files)} JSON files, none of them instances_all.json or "
        f"instances_{{{','.join(SPLITS)}}}.json: call that of all images instances_all.json"
    )


def read_splits(files: AnnotationFiles) -> dict[str, str]:
    """Read the split of each image of the file of all images.

    Returns:
        File name, normalized, to split; empty if there are no files of splits.

    Raises:
        InputError: the splits do not list each image once.
    """
    assert files.whole is not None
    if not files.splits:
        return {}
    split_of: dict[str, str] = {}
    for split, path in files.splits.items():
        for name in file_names(path):
            if name in split_of:
                raise InputError(
                    f"image {name} is in {files.splits[split_of[name]]} and in {path}, so that the "
                    "tree's own splits do not count: leave it in one of them"
                )
            split_of[name] = split
    others = set(file_names(files.whole)) ^ set(split_of)
    if others:
        raise InputError(
            f"{counted(len(others), 'image is', 'images are')} either in {files.whole} or in "
            f"{', '.join(path.name for path in files.splits.values())} (the first is "
            f"{min(others)}), so that the tree's own splits do not count: complete these files or "
            "remove them"
        )
    return split_of


def file_names(path: Path) -> list[str]:
    """List the normalized file names of an annotation file, after a check."""
    return [os.path.normpath(str(image.get("file_name"))) for image in read_coco(path).images]


def _warn_of_one_split(files: AnnotationFiles) -> None:
    if len(files.splits) == 1:
        ((split, path),) = files.splits.items()
        logger.warning(
            "%s is the only split of the set, so its images stay in %s; if it is to be divided, "
            "call it instances_all.json",
            *(path, split),
        )


def _files_of(folder: Path, ending: str) -> tuple[Path | None, dict[str, Path]]:
    whole = folder / f"instances_all{ending}.json"
    paths = {split: folder / f"instances_{split}{ending}.json" for split in SPLITS}
    splits = {split: path for split, path in paths.items() if path.is_file()}
    return whole if whole.is_file() else None, splits
