"""The check of the image records of a COCO annotation file."""

import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from medmask.coco.tables import image_label, is_length
from medmask.coco.values import find_duplicates, is_id
from medmask.utils.json_files import show

_MOST_LEVELS = 20
"""Depth of lists and objects within each other in a field that is carried along."""


def image_problems(images: list[dict], with_files: bool) -> Iterator[str]:
    """Find the problems of image records, as ``CocoTables`` gives them.

    Args:
        images: the records.
        with_files: whether the images are to be read, which takes their names and sizes.
    """
    yield from find_duplicates("image id", (image["id"] for image in images))
    yield from _alike("image id", (image["id"] for image in images))
    names = [image.get("file_name") for image in images]
    yield from find_duplicates(
        "file name", (os.path.normpath(name) for name in names if isinstance(name, str))
    )
    yield from _alike("patient_id", (image.get("patient_id") for image in images))
    for image in images:
        yield from name_problems(image, with_files)
        yield from _size_problems(image, with_files)
        yield from _other_problems(image)


def name_problems(image: dict, is_needed: bool = True) -> Iterator[str]:
    """Find what keeps an image's ``file_name`` from naming a file in the folder of the images."""
    name = image.get("file_name")
    if name is None or name == "":
        if is_needed:
            yield f"image {show(image['id'])} has no file_name"
        return
    if not isinstance(name, str):
        yield f"image {show(image['id'])}: its file_name {show(name)} is not text"
    elif "\0" in name:
        yield f"image {show(image['id'])}: its file_name {show(name)} holds a zero character"
    elif name.startswith(("/", "\\")) or name[1:2] == ":":
        yield (
            f"image {show(image['id'])}: its file_name {show(name)} is absolute; write it relative "
            "to the folder of the images"
        )
    elif ".." in name and ".." in name.replace("\\", "/").split("/"):
        yield (
            f"image {show(image['id'])}: its file_name {show(name)} leads out of the folder of the "
            "images by '..'; write it without"
        )


def _size_problems(image: dict, is_needed: bool) -> Iterator[str]:
    for field in ("height", "width"):
        value = image.get(field)
        if isinstance(value, str):
            yield f"{image_label(image)} gives its {field} as text ({show(value)}); write a number"
        elif not is_length(value) and (is_needed or value is not None):
            yield f"{image_label(image)}: its {field} {show(value)} is not a positive whole number"


def _other_problems(image: dict) -> Iterator[str]:
    patient, side = image.get("patient_id"), image.get("laterality")
    if patient is not None and not is_id(patient):
        yield (
            f"{image_label(image)}: its patient_id {show(patient)} is neither text nor a whole "
            "number; leave it out where it is not known"
        )
    if side not in (None, "L", "R"):
        yield (
            f"{image_label(image)}: its laterality {show(side)} is not L or R; leave it out where "
            "it is not known"
        )
    for field, value in image.items():
        if not _is_shallow(value, _MOST_LEVELS):
            yield f"{image_label(image)}: its {show(field)} is nested too deeply; leave it out"


def missing_files(images: list[dict], image_root: Path) -> Iterator[str]:
    """Find the images that are not in their folder."""
    if not os.path.isdir(image_root):
        yield f"there is no folder {image_root} for the images"
        return
    spellings: dict[Path, dict[str, str]] = {}
    folders: dict[Path, set[str] | str] = {}  # one listing is far cheaper than asking for each file
    for image in images:
        if any(name_problems(image)):
            continue
        path = image_root / image["file_name"]
        if path.parent not in folders:
            folders[path.parent] = listing = _list_files(path.parent)
            if isinstance(listing, str):
                yield listing
        listing = folders[path.parent]
        if isinstance(listing, str) or path.name in listing:
            continue
        if path.parent not in spellings:
            spellings[path.parent] = {_spelling(name): name for name in sorted(listing)}
        advice = _advise_on_name(path.name, spellings[path.parent])
        yield f"{image_label(image)} is not in {path.parent}{advice}"


def _advise_on_name(name: str, spellings: dict[str, str]) -> str:
    """Say what may have become of a name that another system has written.

    Args:
        name: of a file that is not there.
        spellings: those that are there, by :func:`_spelling`.
    """
    if "\\" in name:
        return "; write / between folders, not \\"
    similar = spellings.get(_spelling(name))
    if similar is None:
        return ""
    # escaped, as letters and accents that are encoded otherwise look the same
    return f", but {json.dumps(similar)} is, which differs in case or in how accents are encoded"


def _spelling(name: str) -> str:
    """The name without the differences that some file systems do not make."""
    return unicodedata.normalize("NFC", name.casefold())


def _list_files(folder: Path) -> set[str] | str:
    """List the files in a folder, or return a sentence that says why it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        return f"the folder {show(str(folder))} cannot be listed ({error.strerror})"


def _alike(what: str, values: Iterable[Any]) -> Iterator[str]:
    """Find values that are text in some records and numbers in others."""
    values = [value for value in values if is_id(value)]
    numbers = {str(value) for value in values if isinstance(value, int)}
    for text in sorted(numbers.intersection(value for value in values if isinstance(value, str))):
        yield f"{what} {text} is a number in some records and text in others; write it one way"


def _is_shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, list | dict):
        return True
    children = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(child, levels - 1) for child in children)
