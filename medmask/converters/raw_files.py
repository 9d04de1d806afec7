"""Files of a raw download: an index by its name, and those that no index names."""

import os
from collections.abc import Iterator
from pathlib import Path

from medmask.errors import InputError


def find_file(folder: Path, *names: str) -> Path:
    """Find the first of several files that exists in a folder.

    Raises:
        InputError: none does; names the folder below that holds one, if there is such a folder.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    wanted = " or ".join(names)
    for pattern in ("*", "*/*", "*/*/*"):
        for name in names:
            for found in sorted(folder.glob(f"{pattern}/{name}")):
                root = str(found).removesuffix(name).rstrip("/")
                raise InputError(f"{folder} has no {wanted}; it is in {root}: give that folder")
    raise InputError(
        f"{folder} has no {wanted}; give the folder of the whole download, or copy the file there"
    )


def list_files(raw: Path, problems: list[str], *suffixes: str) -> Iterator[Path]:
    """List the files below a folder, in the order of their names.

    Links to folders elsewhere are followed, as a large set may be spread over several disks. Hidden
    files and folders are passed over: macOS writes a ``._1-1.dcm`` beside each ``1-1.dcm``.

    Args:
        raw: the folder.
        problems: to which folders are added that cannot be listed, and links to nothing.
        suffixes: of the files that are wanted, in lower case; all files if none is given.

    Yields:
        The path of each file.
    """

    def report(error: OSError) -> None:
        problems.append(f"folder {error.filename} cannot be listed ({error.strerror})")

    root, seen = Path(os.path.realpath(raw)), set()
    for folder, folders, names in os.walk(raw, onerror=report, followlinks=True):
        place = Path(os.path.realpath(folder))
        # what a link leads to within the download is listed there, under its own name
        if place in seen or (os.path.islink(folder) and root in place.parents):
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or (suffixes and path.suffix.lower() not in suffixes):
                continue
            if path.is_file():
                yield path
            elif path.is_symlink():
                problems.append(f"{path} is a link that leads nowhere; fetch its file")
