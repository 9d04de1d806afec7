"""Images that a user means by files, folders and patterns."""

import glob
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medmask.errors import InputError
from medmask.images import IMAGE_SUFFIXES, is_dicom, split_frame_path
from medmask.images.dicom.other_objects import is_other_object
from medmask.inference.dicomdir import DIRECTORY_FILE, read_dicomdir
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)


@dataclass
class FoundImages:
    """Findings of a search.

    Attributes:
        paths: the images, without repetition, in the order of the inputs and by name within each.
        problems: one sentence for each thing, named or found in a folder, that may be an image and
            cannot be looked at: a folder without permission, a pipe, a link that leads nowhere.
    """

    paths: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_images(inputs: Sequence[str | os.PathLike]) -> FoundImages:
    """List images.

    Folders are searched in depth, through links as well, for files that look like images by their
    suffix, and for DICOM files of any name by their contents. Hidden files, such as those that
    macOS puts beside others, and ``DICOMDIR`` are not images, nor are DICOM reports, presentation
    states and the like, and the pictures that :mod:`medmask.dicom_results` wrote. How many other
    files were passed over is logged.

    Args:
        inputs: files (of any name), frames of them such as ``scan.dcm#3``, folders, patterns such
            as ``"scans/**/*.dcm"``, or a ``DICOMDIR``, which means the images that it lists.

    Raises:
        InputError: an input does not exist, or nothing that can be read is found.
    """
    found = FoundImages()
    for each in inputs:
        text = os.fspath(each)
        before = len(found.paths), len(found.problems)
        for path in _expand(text):
            if path.is_dir():
                _search_folder(path, found)
            elif path.name.upper() == DIRECTORY_FILE and path.is_file():
                for image in read_dicomdir(path):
                    _add_file(image, found)
            else:
                _add_file(path, found)
        if (len(found.paths), len(found.problems)) == before:
            raise InputError(
                f"input {text} holds no image: give files, folders with DICOM files or files of "
                f"the types {' '.join(IMAGE_SUFFIXES)}, or quoted patterns"
            )
    if not found.paths:
        raise InputError(found.problems[0])
    found.paths = list(dict.fromkeys(found.paths))
    return found


def _add_file(path: Path, found: FoundImages) -> None:
    problem = _why_not_a_file(split_frame_path(path)[0])
    if problem:
        found.problems.append(problem)
    else:
        found.paths.append(path)


def _expand(text: str) -> list[Path]:
    """The files and folders that one input means."""
    if os.path.lexists(text):
        return [Path(text)]
    file, frame = split_frame_path(text)
    if frame is not None and file.is_file():
        return [Path(text)]
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
    if not matches:
        raise InputError(
            f"input {text} does not exist: give files, folders, frames such as scan.dcm#3, or "
            "quoted patterns"
        )
    if "**" in text:  # the folders in between are matches too, and all that is in them
        matches = [match for match in matches if not match.is_dir()]
    return matches


def _why_not_a_file(path: Path) -> str | None:
    """A sentence where a path is no file that can be read, None where it is one."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        what = "is a link that leads nowhere" if path.is_symlink() else "cannot be reached"
        return f"input {path} {what} ({error.strerror}); remove or mend it"
    if not stat.S_ISREG(mode):
        return f"input {path} is neither a file nor a folder but a pipe, a socket or a device"
    if not os.access(path, os.R_OK):
        return f"input {path} may not be read; change its permissions"
    return None


def _search_folder(folder: Path, found: FoundImages) -> None:
    passed_over: list[Path] = []
    for path in sorted(_walk(folder, found.problems)):
        problem = _why_not_a_file(path)
        if problem:
            found.problems.append(problem)
        elif _looks_like_an_image(path):
            found.paths.append(path)
        else:
            passed_over.append(path)
    if passed_over:
        logger.warning(
            "folder %s: passed over %s no image, such as %s",
            folder,
            counted(len(passed_over), "file that is", "files that are"),
            passed_over[0],
        )


def _looks_like_an_image(path: Path) -> bool:
    if is_dicom(path):
        return not is_other_object(path)
    return path.suffix.lower() in IMAGE_SUFFIXES


def _walk(folder: Path, problems: list[str]) -> Iterator[Path]:
    """All that is in a folder and its folders and may be an image; each folder once."""
    seen: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        problems.append(
            f"folder {error.filename} may not be read ({error.strerror}); change its permissions"
        )

    for parent, folders, files in os.walk(folder, onerror=note, followlinks=True):
        state = os.stat(parent)
        if (state.st_dev, state.st_ino) in seen:  # by a link that leads back
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and name.upper() != DIRECTORY_FILE:
                yield Path(parent, name)
