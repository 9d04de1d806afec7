"""The files of an RSNA-BSD1K download, which names and arranges them in several ways."""

import os
from pathlib import Path

from medmask.errors import InputError

_ANNOTATION_FILES = {
    "train": ("instances_train.json", "instances_full.json", "instances_train2017.json"),
    "val": ("instances_val.json", "instances_val2017.json"),
    "test": ("instances_test.json", "instances_test2017.json", "image_info_test-dev2017.json"),
}
_IMAGE_FOLDERS = (
    *("images/{split}", "{split}2017", "{split}", "images/train", "train2017", "images"),
    ".",
)


def find_annotation_files(raw: Path) -> dict[str, Path]:
    """Find the annotation file of each split, the first that exists of its names.

    Raises:
        InputError: there is none at all.
    """
    found: dict[str, Path] = {}
    for split, names in _ANNOTATION_FILES.items():
        for name in names:
            for path in (raw / "annotations" / name, raw / name):
                if path.is_file():
                    found.setdefault(split, path)
    if not found:
        wanted = ", ".join(name for names in _ANNOTATION_FILES.values() for name in names)
        raise InputError(
            f"{raw} has no annotation file (annotations/ with one of {wanted}); give the folder of "
            "the whole download"
        )
    return found


class ImageFinder:
    """Finds the images of a split in the folders in which downloads have them."""

    def __init__(self, raw: Path, split: str) -> None:
        folders = dict.fromkeys(folder.format(split=split) for folder in _IMAGE_FOLDERS)
        self._files = [(raw / folder, _files_in(raw / folder)) for folder in folders]

    def find(self, file_name: str) -> Path | None:
        """The path of an image by its name in the annotation file; None if it is not there."""
        for folder, files in self._files:
            if file_name in files:
                return folder / file_name
        return None


def _files_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:  # most of these folders do not exist
        return set()
