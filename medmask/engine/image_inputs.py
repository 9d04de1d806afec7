"""Which images a user means by files, folders and patterns."""

import glob
from collections.abc import Sequence
from pathlib import Path

from medmask.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")


def find_images(inputs: Sequence[str]) -> list[Path]:
    """List images.

    Args:
        inputs: files (of any name), folders (searched in depth for files that look like images by
            their suffix), or patterns such as ``"scans/**/*.dcm"``.

    Returns:
        Paths without repetition, in the order of the inputs and by name within each.

    Raises:
        InputError: an input does not exist, or holds no image.
    """
    paths: dict[Path, None] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            found = [p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
        elif path.exists():
            found = [path]
        else:
            found = [Path(p) for p in glob.glob(text, recursive=True) if Path(p).is_file()]
        if not found:
            reason = "holds no image" if path.is_dir() else "does not exist"
            raise InputError(
                f"input {text} {reason}: give files, folders with files of the types "
                f"{' '.join(SUFFIXES)}, or quoted patterns"
            )
        paths |= dict.fromkeys(sorted(found))
    return list(paths)
