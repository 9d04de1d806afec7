"""Absolute paths that lead where the paths lead that they are made of."""

import os


def absolute_path(path: str | os.PathLike) -> str:
    """Make a path absolute, without ``.`` and ``..``.

    Links stay in it, but one that ``..`` climbs out of, as in ``link/../scan.dcm``: that is a file
    beside the folder which the link leads to, not one beside the link. Nothing else is looked at.

    Args:
        path: absolute, or relative to the working folder.
    """
    text = os.fspath(path)
    if os.pardir not in text.split(os.sep):
        return os.path.abspath(text)
    place = os.sep
    for part in os.path.join(os.getcwd(), text).split(os.sep):
        if part == os.pardir:
            place = os.path.dirname(os.path.realpath(place) if os.path.islink(place) else place)
        elif part not in ("", os.curdir):
            place = os.path.join(place, part)
    return place
