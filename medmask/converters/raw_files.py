"""The files of a raw download, where its index does not name them."""

import os
from collections.abc import Iterator
from pathlib import Path


def list_files(raw: Path, problems: list[str]) -> Iterator[Path]:
    """List the files below a folder, in the order of their names.

    Hidden files and folders are passed over: macOS writes a ``._1-1.dcm`` beside each ``1-1.dcm``.

    Args:
        raw: the folder.
        problems: to which folders are added that cannot be listed, and links to nothing.

    Yields:
        The path of each file.
    """

    def report(error: OSError) -> None:
        problems.append(f"folder {error.filename} cannot be listed ({error.strerror})")

    for folder, folders, names in os.walk(raw, onerror=report):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            if path.is_file():
                yield path
            elif path.is_symlink():
                problems.append(f"{path} is a link that leads nowhere; fetch its file")
